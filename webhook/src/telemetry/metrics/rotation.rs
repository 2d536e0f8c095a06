//! What is counted of the certificates that the controller keeps.

use std::time::{SystemTime, UNIX_EPOCH};

use berth_cert_manager::plan::Status;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Kind, Reason, signed};

/// The metrics of CA, leaf and bundle.
#[derive(Debug, Default)]
pub struct Rotation {
    /// Empty before the first look: a zero means that there is none.
    expiry: Family<Kind, Gauge>,
    rotating: Gauge,
    unpublished: Gauge,
    news: Family<Reason, Counter>,
}

impl Rotation {
    /// Something happened that an Event tells as well, with this `reason`.
    pub fn happened(&self, reason: &'static str) {
        self.news.get_or_create(&Reason { reason }).inc();
    }

    /// The objects were read.
    pub fn looked(&self, status: &Status) {
        for (kind, expires) in [("ca", status.authority_expires), ("leaf", status.leaf_expires)] {
            self.expiry.get_or_create(&Kind { kind }).set(unix(expires));
        }
        self.rotating.set(i64::from(status.rotating));
        self.unpublished.set(signed(status.unpublished));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help =
            "When the CA that signs and the leaf in the Secret expire, as Unix time; 0: there is none to be used";
        registry.register_with_unit("stored_certificate_expiry_timestamp", help, Unit::Seconds, self.expiry.clone());
        registry.register("ca_rotating", "1: a CA is being replaced by another", self.rotating.clone());
        let help = "Webhook configurations that lack a CA which is to be trusted";
        registry.register("ca_unpublished", help, self.unpublished.clone());
        let help = "What happened to certificates, by the reason that the Event of it has";
        registry.register("certificate_news", help, self.news.clone());
    }
}

/// 0 for none.
fn unix(time: Option<SystemTime>) -> i64 {
    let seconds = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

//! What is counted of the certificate that is served.

use std::time::{SystemTime, UNIX_EPOCH};

use berth_cert_manager::Validity;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Reason;
use crate::telemetry::outcome::Refused;

/// The metrics of the certificate that is served.
#[derive(Debug, Default)]
pub struct Certificate {
    expiry: Gauge,
    refused: Family<Reason, Counter>,
}

impl Certificate {
    /// A certificate is served that counts like this; none: nothing is served.
    pub fn served(&self, validity: Option<Validity>) {
        self.expiry.set(validity.map_or(0, |validity| unix(validity.not_after)));
    }

    /// A certificate that was brought is not served.
    pub fn refused(&self, reason: Refused) {
        self.refused.get_or_create(&Reason { reason: reason.word() }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "When the certificate that is served expires, as Unix time; 0: there is none";
        registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, self.expiry.clone());
        let help = "Certificates that were brought and are not served, by reason; the last good one is";
        registry.register("certificate_refused", help, self.refused.clone());
    }
}

fn unix(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

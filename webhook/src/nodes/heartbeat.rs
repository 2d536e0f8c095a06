//! The controller's heartbeat: a Lease that it renews and the webhook watches.
//!
//! A Pod is gated only while somebody is there to open the gate. No election: two controllers renew the same Lease.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    runtime::watcher::{Config, Event},
};
use serde_json::json;
use tokio::time::{self, MissedTickBehavior};
use tracing::warn;

use crate::{
    follow::{attentive, follow},
    telemetry::Metrics,
};

/// What the webhook knows of the controller.
#[derive(Debug, Default)]
pub struct Heartbeat {
    last: Mutex<Option<Beat>>,
}

/// The last renewal that was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Beat {
    /// By the controller's clock.
    renewed: Timestamp,
    /// By ours.
    at: Instant,
}

impl Heartbeat {
    /// A controller that was alive at `now`: where none is followed, for one moment.
    pub fn fixed(now: Instant) -> Self {
        Self { last: Mutex::new(Some(Beat { renewed: Timestamp::now(), at: now })) }
    }

    /// Whether the controller has renewed its Lease within 60 s.
    pub fn alive(&self, now: Instant) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|beat| now.saturating_duration_since(beat.at) < LIFE)
    }

    /// Follows the Lease in `namespace`, for ever.
    pub async fn follow(self: Arc<Self>, client: Client, namespace: String, metrics: Arc<Metrics>) {
        let api = Api::<Lease>::namespaced(attentive(client, || ()), &namespace);
        let config = Config::default().fields(&format!("metadata.name={LEASE}"));
        follow("leases", api, config, &metrics, |event| {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::InitApply(lease) | Event::Apply(lease) => {
                    let renewed = lease.spec.and_then(|spec| spec.renew_time).map(|MicroTime(renewed)| renewed);
                    *last = renewed
                        .and_then(|renewed| seen(*last, renewed, time::Instant::now().into_std(), Timestamp::now()));
                }
                Event::Delete(_) => *last = None,
                Event::Init | Event::InitDone => (),
            }
        })
        .await;
    }
}

/// What is known after a Lease was seen that says `renewed`.
///
/// Only a change is a sign of life, and it is timed by our own clock, since the controller's may be wrong. At the first
/// sight there is nothing to compare with: then its clock is believed.
fn seen(last: Option<Beat>, renewed: Timestamp, now: Instant, wall: Timestamp) -> Option<Beat> {
    match last {
        Some(beat) if beat.renewed == renewed => last,
        Some(_) => Some(Beat { renewed, at: now }),
        None => {
            let age = Duration::try_from(wall.duration_since(renewed)).unwrap_or_default();
            Some(Beat { renewed, at: now.checked_sub(age)? })
        }
    }
}

/// Renews the Lease in `namespace` every 15 s while the controller is `able` to open gates, for ever; makes it where it
/// is missing.
///
/// `holder` is for people who look at it: the controller's Pod.
pub async fn renew(client: Client, namespace: String, holder: String, able: impl Fn() -> bool) {
    let api = Api::<Lease>::namespaced(client, &namespace);
    let mut turns = time::interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed: Option<time::Instant> = None;
    loop {
        turns.tick().await;
        if !able() || renewed.is_some_and(|renewed| renewed.elapsed() < EVERY) {
            continue;
        }
        renewed = Some(time::Instant::now());
        match time::timeout(CALL_LIMIT, beat(&api, &holder)).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => warn!(%error, "the heartbeat failed: no Pod will be gated until it is back"),
            Err(_) => warn!(limit_s = CALL_LIMIT.as_secs(), "the heartbeat failed: the API server did not answer"),
        }
    }
}

/// One renewal, without a resource version: of two controllers the later one wins, and both are alive.
async fn beat(api: &Api<Lease>, holder: &str) -> kube::Result<()> {
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(LIFE.as_secs()).ok(),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    let patch = Patch::Merge(json!({ "spec": spec }));
    match api.patch(LEASE, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
            match api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()), // by the other controller
                created => created.map(drop),
            }
        }
        renewed => renewed.map(drop),
    }
}

/// The name of the Lease.
const LEASE: &str = "berth-controller";
/// How long a controller counts as alive after its last sign of life.
const LIFE: Duration = Duration::from_secs(60);
/// Time between two renewals.
const EVERY: Duration = Duration::from_secs(15);
/// Time between two looks at whether the controller is able to.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one renewal may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

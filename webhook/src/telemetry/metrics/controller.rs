//! What is counted by `berth controller`.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Outcome, signed};
use crate::telemetry::outcome::{Event, Gate, Stuck};

/// The metrics of Pods that wait, Pods that are stuck, and what is said about them.
#[derive(Debug, Default)]
pub struct Controller {
    gated: Gauge,
    gated_oldest_seconds: Gauge<f64, AtomicU64>,
    gates: Family<Outcome, Counter>,
    stuck: Gauge,
    stuck_seen: Family<Outcome, Counter>,
    events: Family<Outcome, Counter>,
}

impl Controller {
    /// So many Pods wait behind Berth's gate, the oldest for so long.
    pub fn gated(&self, pods: usize, oldest: Duration) {
        self.gated.set(signed(pods));
        self.gated_oldest_seconds.set(oldest.as_secs_f64());
    }

    /// A gate was to be opened.
    pub fn gate(&self, outcome: Gate) {
        self.gates.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    /// So many Pods are stuck where Berth placed them.
    pub fn stuck(&self, pods: usize) {
        self.stuck.set(signed(pods));
    }

    /// A Pod was found stuck, or helped.
    pub fn stuck_pod(&self, outcome: Stuck) {
        self.stuck_seen.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    /// An Event was to be written.
    pub fn event(&self, outcome: Event) {
        self.events.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("gated_pods", "Pods that wait behind Berth's gate", self.gated.clone());
        let help = "Age of the oldest Pod that waits behind Berth's gate";
        registry.register_with_unit("gated_oldest", help, Unit::Seconds, self.gated_oldest_seconds.clone());
        registry.register("gates", "Gates that were to be opened, by outcome", self.gates.clone());
        let help = "Pods that cannot be scheduled where Berth placed them, while their images are elsewhere";
        registry.register("stuck_pods", help, self.stuck.clone());
        registry.register("stuck", "Pods that were found stuck, by what was done", self.stuck_seen.clone());
        registry.register("events", "Events that were to be written, by outcome", self.events.clone());
    }
}

//! Every metric, by name, and the plain methods that set them.

mod certificate;
mod controller;
mod registries;
mod rotation;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use tokio::time::Instant;

pub use self::{
    certificate::Certificate,
    controller::Controller,
    registries::{HostGauges, Registries, Waiting},
    rotation::Rotation,
};
use super::outcome::{Mirror, Pin, Place, Review, Shed, Workload};
use crate::config;

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    /// Of the questions to registries.
    pub registries: Registries,
    /// Of what the controller does.
    pub controller: Controller,
    /// Of the certificates that the controller keeps.
    pub rotation: Rotation,
    /// Of the certificate that is served.
    pub certificate: Certificate,
    registry: Registry,
    started: Instant,
    /// Milliseconds after `started`; 0: never.
    nodes_heard: AtomicU64,
    reviews: Family<Outcome, Counter>,
    review_seconds: Histogram,
    workloads: Family<Outcome, Counter>,
    pins: Family<Outcome, Counter>,
    mirrors: Family<Outcome, Counter>,
    placements: Family<Outcome, Counter>,
    not_reviews: Counter,
    watch_failures: Family<Kind, Counter>,
    shed: Family<Reason, Counter>,
    body_bytes: Gauge,
    connections: Family<Port, Gauge>,
    nodes: Gauge,
    nodes_stale_seconds: Gauge<f64, AtomicU64>,
    configuration_valid: Gauge,
}

impl Metrics {
    /// Metrics that know the registries of `config` by name; requests to others are counted as `other`.
    pub fn new(config: &config::Config) -> Self {
        let metrics = Self::default();
        metrics.configured(config);
        metrics
    }

    /// A configuration is in force.
    pub fn configured(&self, config: &config::Config) {
        self.registries.configured(config);
        self.configuration_valid.set(1);
    }

    /// The configuration file is broken; the last good one stays in force.
    pub fn configuration_broken(&self) {
        self.configuration_valid.set(0);
    }

    /// A review was answered.
    pub fn review(&self, outcome: Review, took: Duration) {
        self.reviews.get_or_create(&Outcome { outcome: outcome.word() }).inc();
        self.review_seconds.observe(took.as_secs_f64());
    }

    /// A request about a workload was answered.
    pub fn workload(&self, outcome: Workload) {
        self.workloads.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    /// An image went through **pin**.
    pub fn pin(&self, outcome: Pin) {
        self.pins.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    /// An image went through **mirror**.
    pub fn mirror(&self, outcome: Mirror) {
        self.mirrors.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    /// A Pod went through **place**.
    pub fn place(&self, outcome: Place) {
        self.placements.get_or_create(&Outcome { outcome: outcome.word() }).inc();
    }

    /// A body was no `AdmissionReview`.
    pub fn not_a_review(&self) {
        self.not_reviews.inc();
    }

    /// A request was answered with 503.
    pub fn shed(&self, reason: Shed) {
        self.shed.get_or_create(&Reason { reason: reason.word() }).inc();
    }

    /// Bodies held in memory now, bytes.
    pub fn bodies(&self, bytes: usize) {
        self.body_bytes.set(signed(bytes));
    }

    /// Open connections of a port.
    pub fn connections(&self, port: &'static str, open: usize) {
        self.connections.get_or_create(&Port { port }).set(signed(open));
    }

    /// `nodes` are known, and the API told about them last `at` this time.
    pub fn nodes_heard(&self, nodes: usize, at: Instant) {
        self.nodes.set(signed(nodes));
        let since_start = at.saturating_duration_since(self.started).as_millis().max(1);
        self.nodes_heard.store(u64::try_from(since_start).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A watch of a `kind` of object (`nodes`) broke off.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&Kind { kind }).inc();
    }

    /// All of it as `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let heard = Duration::from_millis(self.nodes_heard.load(Ordering::Relaxed));
        if !heard.is_zero() {
            self.nodes_stale_seconds.set(self.started.elapsed().saturating_sub(heard).as_secs_f64());
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registries: Registries::default(),
            controller: Controller::default(),
            rotation: Rotation::default(),
            certificate: Certificate::default(),
            registry: Registry::with_prefix("berth"),
            started: Instant::now(),
            nodes_heard: AtomicU64::default(),
            reviews: Family::default(),
            review_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            workloads: Family::default(),
            pins: Family::default(),
            mirrors: Family::default(),
            placements: Family::default(),
            not_reviews: Counter::default(),
            watch_failures: Family::default(),
            shed: Family::default(),
            body_bytes: Gauge::default(),
            connections: Family::default(),
            nodes: Gauge::default(),
            nodes_stale_seconds: Gauge::default(),
            configuration_valid: Gauge::default(),
        };
        metrics.register_reviews();
        metrics.register_state();
        metrics
    }
}

/// The names. `_total` is appended to counters, units to names.
impl Metrics {
    fn register_reviews(&mut self) {
        let registry = &mut self.registry;
        registry.register("reviews", "Reviews answered, by outcome", self.reviews.clone());
        let help = "Time from a complete request to its answer";
        registry.register_with_unit("review", help, Unit::Seconds, self.review_seconds.clone());
        registry.register("workloads", "Workloads looked at for warnings, by outcome", self.workloads.clone());
        registry.register("pins", "Images seen by pin, by outcome", self.pins.clone());
        registry.register("mirrors", "Images that a mirror rule is about, by outcome", self.mirrors.clone());
        registry.register("placements", "Pods with an image that decides where they run", self.placements.clone());
        self.registries.register(registry);
        registry.register("not_reviews", "Requests refused with 400: no AdmissionReview", self.not_reviews.clone());
        registry.register("shed", "Requests answered with 503 and Retry-After: 1, by reason", self.shed.clone());
    }

    fn register_state(&mut self) {
        let registry = &mut self.registry;
        self.controller.register(registry);
        self.rotation.register(registry);
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version of this program", Info::new(version));
        registry.register_with_unit("bodies", "Request bodies in memory", Unit::Bytes, self.body_bytes.clone());
        registry.register("connections", "Open connections, by port", self.connections.clone());
        let help = "Watches that broke off, by the kind of object; they are taken up again";
        registry.register("watch_failures", help, self.watch_failures.clone());
        registry.register("nodes", "Nodes whose images are known", self.nodes.clone());
        let help = "Time since the API server last told about nodes";
        registry.register_with_unit("nodes_stale", help, Unit::Seconds, self.nodes_stale_seconds.clone());
        self.certificate.register(registry);
        let help = "1: the configuration file is in force; 0: it is broken, and the last good one is in force";
        registry.register("configuration_valid", help, self.configuration_valid.clone());
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Port {
    port: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

//! Logs and metrics. All names that a dashboard or an alert may use stand in [`metrics`] and [`outcome`].

pub mod logs;
pub mod metrics;
pub mod outcome;

pub use metrics::{HostGauges, Metrics};

//! Logs: one JSON object a line on standard error.

use std::panic;

use tracing::error;
use tracing_subscriber::EnvFilter;

/// Starts logging, for the commands that serve; `RUST_LOG` chooses what (`info` where it is not set, but for noise).
///
/// Called a second time, as tests do, it changes nothing.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    let json = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    panic::set_hook(Box::new(|panic| {
        // Not what it says: that may quote a Pod, or a secret.
        error!(at = panic.location().map(tracing::field::display), "panicked");
    }));
    let _second_time = json.with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Without what the Kubernetes client says of each attempt to reach an API server that is away: whoever asks says it too,
/// and not each second.
const USUAL: &str = "info,kube_client::client::builder=off";

//! The routes for the kubelet and for Prometheus, on a port of their own, plain HTTP.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};

use crate::telemetry::Metrics;

/// `/livez` answers whenever the program runs at all; `/readyz` says what is `missing`, where something is; `/metrics` is
/// `OpenMetrics`.
pub fn routes<W: AsRef<str> + 'static>(
    missing: impl Fn() -> Vec<W> + Clone + Send + Sync + 'static,
    metrics: Arc<Metrics>,
) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(async move || ready(&missing())))
        .route("/metrics", get(scrape).with_state(metrics))
}

fn ready(missing: &[impl AsRef<str>]) -> (StatusCode, String) {
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let missing: Vec<_> = missing.iter().map(AsRef::as_ref).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join("; ")))
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

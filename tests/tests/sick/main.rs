//! Registries under load and in trouble: what a thousand Pods are told, how soon, and what it costs.
//!
//! `BERTH_BARS=full` runs them with the numbers that the bars name, which takes minutes and wants `--release`,
//! `--test-threads=1` and a machine that does nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "what a test does not find, it fails by"
)]

mod faults;
mod flood;
mod freshness;
mod outage;
mod sharing;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth::{
    admission::{App, Caller, Mode},
    config,
    registry::{Ages, Client, Keychain, Memory, Shared},
};
use serde_json::{Value, json};

/// The name that images have for the registry that a test troubles.
const HOST: &str = "registry.example:5000";
/// The name of one that is well.
const HEALTHY: &str = "healthy.example:5000";

/// Berth with real clients.
type Berth = App<Shared<Client>>;

/// Berth as `settings` configure it, with registries at these endpoints.
fn berth(settings: &str, registries: &[(&str, &str)]) -> Berth {
    let entries: Vec<_> =
        registries.iter().map(|(host, endpoint)| json!({"host": host, "endpoint": endpoint})).collect();
    let text = format!(
        "apiVersion: berth.dev/v1alpha1\nkind: Configuration\nregistries: {}\n{settings}\n",
        Value::Array(entries)
    );
    let (config, _) = config::parse(&text, "test").unwrap();
    let metrics = Arc::default();
    let client = Client::new(&config, Arc::clone(&metrics)).unwrap();
    let registry = Shared::remembering(client, Ages::from(&config.pin), Memory::of(&config), Arc::clone(&metrics));
    App {
        registry,
        keychain: Keychain::read(&config).unwrap(),
        config: Arc::new(config),
        nodes: None,
        pull_secrets: None,
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics,
    }
}

/// What became of a Pod.
#[derive(Debug)]
struct Admitted {
    /// The digest that its image was pinned to.
    digest: Option<String>,
    /// The first note.
    note: String,
    took: Duration,
}

/// Creates a Pod with `image`; Berth has `limit`.
async fn admit(berth: &Berth, image: &str, limit: Duration) -> Admitted {
    let containers = json!([{"name": "c", "image": image, "imagePullPolicy": "IfNotPresent"}]);
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {"metadata": {"generateName": "web-"}, "spec": {"containers": containers}},
        },
    });
    let start = Instant::now();
    let body = berth.review(Mode::Enforce, Caller::Anyone, review.to_string().as_bytes(), start + limit).await.unwrap();
    let took = start.elapsed();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let response = &answer["response"];
    assert_eq!(response["allowed"], true, "{response}");
    let patch = response["patch"].as_str().map(|patch| STANDARD.decode(patch).unwrap());
    let patch: Vec<Value> = patch.map(|patch| serde_json::from_slice(&patch).unwrap()).unwrap_or_default();
    let image = patch.iter().find(|operation| operation["path"] == "/spec/containers/0/image");
    let digest = image.and_then(|image| image["value"].as_str()?.split_once('@')).map(|(_, digest)| digest.to_owned());
    Admitted { digest, note: response["warnings"][0].as_str().unwrap_or_default().to_owned(), took }
}

/// `full` where the bars are measured, else `usual`.
fn bar(usual: usize, full: usize) -> usize {
    if is_full() { full } else { usual }
}

fn is_full() -> bool {
    env::var("BERTH_BARS").is_ok_and(|bars| bars == "full")
}

/// The time that all but a hundredth of them stayed under.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// Fits into every test.
const LIMIT: Duration = Duration::from_secs(5);

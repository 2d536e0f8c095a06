//! An AdmissionReview of a workload: whatever comes, it is allowed, and what is said is what the API server passes on.
#![no_main]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth::{
    admission::{App, Caller, Mode},
    config::Config,
    image::Digest,
    nodes::{Index, Nodes, Now},
    registry::{Error, Keychain, Question, Resolve},
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

struct EverySecond;

impl Resolve for EverySecond {
    async fn resolve(&self, question: &Question<'_>, _: Instant) -> Result<Digest, Error> {
        let image = question.image;
        match image.path().len() % 2 {
            0 => Ok(image.digest().cloned().unwrap_or_else(|| Digest::of(image.target().as_bytes()))),
            _ => Err(Error::NotFound { host: image.host().to_owned(), image: image.to_string() }),
        }
    }
}

fuzz_target!(|body: &[u8]| {
    let node = json!({
        "metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "a"}},
        "status": {"images": [{"names": ["docker.io/library/other:dev"]}]},
    });
    let node = serde_json::from_value(node).expect("a Node");
    let app = App {
        config: Arc::new(Config::default()),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: EverySecond,
        nodes: Some(Arc::new(Nodes::fixed(Index::from_nodes([node], 50, Now::read())))),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let Ok(answer) = runtime.block_on(app.warn(Mode::Enforce, Caller::Anyone, body, deadline)) else { return };
    let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    let response = answer["response"].as_object().expect("a response");
    assert_eq!(response["allowed"], true);
    assert!(response.keys().all(|key| ["uid", "allowed", "warnings"].contains(&key.as_str())), "{response:?}");
    let lines: Vec<&str> = response.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(lines.len() <= 11 && lines.iter().all(|line| line.chars().count() < 120 && !line.contains(char::is_control)), "{lines:?}");
});

//! An AdmissionReview of a workload: whatever comes, it is allowed, and what is said is what the API server passes on.
#![no_main]

mod setup;

use std::time::{Duration, Instant};

use berth::admission::{Caller, Mode};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|body: &[u8]| {
    let node = json!({
        "metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "a"}},
        "status": {"images": [{"names": ["docker.io/library/other:dev"]}]},
    });
    let node = serde_json::from_value(node).expect("a Node");
    let app = setup::app([node]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let Ok(answer) = runtime.block_on(app.warn(Mode::Enforce, Caller::Anyone, body, deadline)) else { return };
    let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    let response = answer["response"].as_object().expect("a response");
    assert_eq!(response["allowed"], true);
    assert!(response.keys().all(|key| ["uid", "allowed", "warnings"].contains(&key.as_str())), "{response:?}");
    let lines: Vec<&str> =
        response.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(
        lines.len() <= 11 && lines.iter().all(|line| line.chars().count() < 120 && !line.contains(char::is_control)),
        "{lines:?}"
    );
});

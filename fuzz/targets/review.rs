//! An AdmissionReview, through the whole flow, with a registry that has every second image.
#![no_main]

mod setup;

use std::time::{Duration, Instant};

use berth::admission::{Caller, Mode};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let app = setup::app([]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ask = |body: &[u8]| {
        let answer = runtime
            .block_on(app.review(Mode::Enforce, Caller::Anyone, body, Instant::now() + Duration::from_secs(5)))
            .ok()?;
        let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
        Some(answer["response"].clone())
    };
    let Some(response) = ask(body) else { return };
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else { return };
    if !review["request"]["object"]["metadata"].is_object() {
        return; // the API server always writes it
    }
    assert_eq!(response["uid"], review["request"]["uid"]);
    assert!(response["allowed"].is_boolean());
    let Some(patch) = response["patch"].as_str() else { return };
    let patch: json_patch::Patch = serde_json::from_slice(&decoded(patch)).expect("the patch is a JSON Patch");
    json_patch::patch(&mut review["request"]["object"], &patch).expect("the patch applies");
    let again = ask(review.to_string().as_bytes()).expect("the result is a review as well");
    assert!(again["patch"].is_null(), "a second review still finds something to do: {again}");
});

/// Base64 with padding, without another dependency.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let bits: Vec<bool> = digits.flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1 == 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

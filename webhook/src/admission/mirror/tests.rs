//! How long mirrors are waited for. The clock is paused: what is awaited takes just as long as it may.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    admission::{App, Moment, Subject, decode::Pod},
    config,
    registry::{Fake, Keychain},
};

const RULES: &str = "mirror: {rules: [{source: docker.io, mirror: one.local}, {source: docker.io, mirror: two.local}]}";
const ALONE: &str = "mirror: {rules: [{source: docker.io, mirror: one.local, resolve: mirror}]}";

fn app(settings: &str) -> App<Fake> {
    let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{settings}");
    let (config, _) = config::parse(&text, "test").unwrap();
    App {
        config: Arc::new(config),
        registry: Fake::new(),
        keychain: Keychain::default(),
        pull_secrets: None,
        nodes: None,
        namespaces: None,
        controller: None,
        own_namespace: String::new(),
        metrics: Arc::default(),
    }
}

/// The patch for a Pod of `image` that must be decided about within 8 s, and how many seconds that took.
async fn decide(app: &App<Fake>, image: &str) -> (String, f64) {
    let text = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image}]}}).to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
    let subject = Subject { pod: &pod, old: None, namespace: "shop", moment: Moment::Create, proven: false };
    let start = Instant::now();
    let verdict = app.decide(&subject, start.into_std() + Duration::from_secs(8)).await;
    (verdict.done, start.elapsed().as_secs_f64())
}

#[track_caller]
fn near(took: f64, want: f64) {
    assert!((took - want).abs() < 0.1, "{took} s instead of {want} s");
}

#[tokio::test(start_paused = true)]
async fn mirrors_that_never_answer_cost_half_of_the_time_and_not_the_pin() {
    let app = app(RULES);
    let digest = app.registry.push("redis:latest");
    for host in ["one.local", "two.local"] {
        app.registry.black_hole(&format!("{host}/library/redis@{digest}"));
    }
    let (done, took) = decide(&app, "redis").await;
    assert_eq!(done, format!("c: redis -> redis@{digest}"));
    near(took, 4.0); // although the source took nothing
    app.registry.delay(Duration::from_secs(3));
    let (done, took) = decide(&app, "redis").await;
    assert_eq!(done, format!("c: redis -> redis@{digest}"));
    near(took, 7.0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_leaves_half_of_the_time_to_the_mirrors() {
    let app = app(RULES);
    let digest = app.registry.push("one.local/library/redis:latest");
    app.registry.black_hole("redis:latest");
    app.registry.remember("redis:latest", &digest, Duration::from_secs(1));
    let (done, took) = decide(&app, "docker.io/redis:latest").await;
    assert!(!done.contains("one.local"), "`Always` by default: {done}");
    near(took, 4.0);
}

#[tokio::test(start_paused = true)]
async fn the_second_mirror_has_its_own_share() {
    let app = app(RULES);
    let digest = app.registry.push("redis:7");
    app.registry.black_hole(&format!("one.local/library/redis@{digest}"));
    app.registry.put("two.local/library/redis:7", &digest);
    let (done, took) = decide(&app, "redis:7").await;
    assert_eq!(done, format!("c: redis:7 -> two.local/library/redis:7@{digest}"));
    near(took, 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_resolves_has_its_share_for_tag_and_digest_together() {
    let app = app(ALONE);
    let digest = app.registry.push("one.local/library/redis:7");
    let by_digest = format!("one.local/library/redis@{digest}");
    app.registry.black_hole(&by_digest);
    near(decide(&app, "redis:7").await.1, 4.0);
    app.registry.black_hole("one.local/library/redis:7");
    near(decide(&app, "redis:7").await.1, 2.0);
}

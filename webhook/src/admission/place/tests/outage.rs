//! The Kubernetes API gone for long, in stopped time, while Pods are reviewed; and its return, with all that it can answer.

use std::sync::Arc;

use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use super::{faults::review, *};
use crate::{
    admission::App,
    follow::fake::{End, Reply, Server, event, page, until},
    nodes::Nodes,
    registry::{Fake, Keychain},
    telemetry::Metrics,
};

/// A node as the API server has it.
fn stored(name: &str, images: &[&str]) -> Value {
    with(node(name, images), &json!({ "metadata": { "resourceVersion": "7" } }))
}

fn app(nodes: Arc<Nodes>, metrics: Arc<Metrics>) -> App<Fake> {
    App {
        config: Arc::default(),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: Fake::new(),
        nodes: Some(nodes),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics,
    }
}

/// The seconds that `berth_nodes_stale_seconds` says.
fn stale(metrics: &Metrics) -> f64 {
    let text = metrics.encode().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("berth_nodes_stale_seconds "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn while_the_api_is_gone_reviews_go_on_and_nothing_rests_on_old_lists() {
    let server = Server::new([page(&[stored("a", &[APP]), stored("b", &[])], ""), Reply::Watch(vec![], End::Break)]);
    (0..2_000).for_each(|_| server.reply(Reply::Refused));
    let (nodes, metrics) = (Arc::new(Nodes::new(50)), Arc::new(Metrics::default()));
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&nodes).follow(server.client(), Arc::clone(&metrics)));
    until(|| nodes.synced()).await;
    let gone = Instant::now();
    let app = app(Arc::clone(&nodes), Arc::clone(&metrics));

    let (mut fresh, mut old) = (0, 0);
    for _ in 0..REVIEWS {
        let age = gone.elapsed();
        let (response, pod) = review(&app).await;
        assert_eq!(response["allowed"], true);
        assert!(nodes.synced(), "it stays ready");
        let affinity = pod["spec"]["affinity"].to_string();
        if age < MAX_STALE {
            assert!(affinity.contains("required") && affinity.contains(r#"["a"]"#), "after {age:?}: {affinity}");
            fresh += 1;
        } else if age > MAX_STALE + Duration::from_secs(1) {
            assert!(!affinity.contains("required") && affinity.contains(r#"["a"]"#), "after {age:?}: {affinity}");
            assert!(response["warnings"][0].as_str().unwrap().contains("no recent news of the nodes"), "{response}");
            assert!((stale(&metrics) - age.as_secs_f64()).abs() < 2.0, "{} after {age:?}", stale(&metrics));
            old += 1;
        }
        time::sleep(BETWEEN).await;
    }
    println!("{fresh} reviews by lists that still counts, {old} without a requirement");
    assert!(fresh > 2_000 && old > 6_000, "{fresh} {old}");
    comes_back(&server, &app).await;
    assert!(stale(&metrics) < 120.0, "{}", stale(&metrics));
}

/// First it does not know the version any more, then it has too much to do, then it lists: meanwhile the image has moved.
async fn comes_back(server: &Server, app: &App<Fake>) {
    server.forget_replies();
    let expired = json!({ "status": "Failure", "reason": "Expired", "message": "too old", "code": 410 });
    let busy = json!({ "status": "Failure", "reason": "TooManyRequests", "message": "later", "code": 429 });
    server.reply(Reply::Watch(vec![event("ERROR", &expired)], End::Close));
    (0..20).for_each(|_| server.reply(Reply::Json(429, busy.clone())));
    let asked = server.asked().len();
    until(|| server.asked().len() >= asked + 15).await;
    for _ in 0..100 {
        let (response, pod) = review(app).await;
        assert!(!pod["spec"]["affinity"].to_string().contains("required"), "a refusal is no news: {pod}");
        assert_eq!(response["allowed"], true);
    }
    server.reply(page(&[stored("a", &[APP])], "more"));
    until(|| server.asked().last().is_some_and(|line| line.contains("continue=more"))).await;
    let (_, pod) = review(app).await;
    assert!(!pod["spec"].to_string().contains("required"), "by half a list nothing is decided: {pod}");
    // The other half never comes, so that all is asked for again.
    server.reply(page(&[stored("b", &[APP]), stored("c", &[])], ""));
    let placed = async || review(app).await.1["spec"]["affinity"].to_string();
    let limit = Instant::now() + Duration::from_secs(120);
    while !placed().await.contains(r#"["b"]"#) {
        assert!(Instant::now() < limit, "{}", placed().await);
        time::sleep(Duration::from_millis(10)).await;
    }
    assert!(placed().await.contains("required"), "{}", placed().await);
}

const REVIEWS: u32 = 10_000;
/// Together twenty minutes.
const BETWEEN: Duration = Duration::from_millis(120);
/// The default.
const MAX_STALE: Duration = Duration::from_secs(300);

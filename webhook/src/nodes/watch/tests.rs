//! The watch against a scripted API server, in stopped time.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{task::JoinSet, time};

use super::*;
use crate::follow::fake::{End, Reply, Server, event, page, until};

fn node(name: &str, version: u32, image: &str) -> Value {
    json!({
        "metadata": { "name": name, "resourceVersion": version.to_string() },
        "status": { "images": [{ "names": [image] }], "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4" } },
    })
}

fn bookmark() -> Value {
    event("BOOKMARK", &json!({ "kind": "Node", "apiVersion": "v1", "metadata": { "resourceVersion": "20" } }))
}

fn start(server: &Server) -> (Arc<Nodes>, Arc<Metrics>, JoinSet<()>) {
    let (nodes, metrics) = (Arc::new(Nodes::new(50)), Arc::new(Metrics::default()));
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&nodes).follow(server.client(), Arc::clone(&metrics)));
    (nodes, metrics, tasks)
}

/// The names of the nodes that list `image`.
fn listed(nodes: &Nodes, image: &str) -> Vec<String> {
    let image = image.parse().unwrap();
    nodes.read(|index| {
        index.into_iter().flat_map(|index| index.listed(&image)).map(|(node, _)| node.name().to_owned()).collect()
    })
}

fn heard(nodes: &Nodes) -> Duration {
    nodes.read(|index| Now::read().instant - index.unwrap().heard())
}

#[tokio::test(start_paused = true)]
async fn lists_in_pages_and_follows() {
    let server = Server::new([
        page(&[node("a", 1, "app:1"), node("b", 2, "app:1")], "more"),
        page(&[node("c", 3, "app:1")], ""),
        Reply::Watch(
            vec![
                event("ADDED", &node("d", 11, "app:1")),
                event("MODIFIED", &node("a", 12, "app:2")),
                event("DELETED", &node("b", 13, "app:1")),
                bookmark(),
            ],
            End::Close,
        ),
    ]);
    let (nodes, _, _tasks) = start(&server);
    until(|| server.asked().len() == 4).await;
    assert_eq!(listed(&nodes, "app:1"), ["c", "d"]);
    assert_eq!(listed(&nodes, "app:2"), ["a"]);
    assert_eq!(
        server.asked(),
        [
            "GET /api/v1/nodes?&limit=100",
            "GET /api/v1/nodes?&limit=100&continue=more",
            "GET /api/v1/nodes?&watch=true&timeoutSeconds=60&allowWatchBookmarks=true&resourceVersion=10",
            "GET /api/v1/nodes?&watch=true&timeoutSeconds=60&allowWatchBookmarks=true&resourceVersion=20",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_list_is_none() {
    let server = Server::new([page(&[node("a", 1, "app:1")], "more"), Reply::Json(500, json!({ "code": 500 }))]);
    let (nodes, _, _tasks) = start(&server);
    until(|| server.asked().len() == 3).await; // page, failure, from the start
    assert!(!nodes.synced());
    nodes.read(|index| assert!(index.is_none()));

    let server = Server::new([page(&[node("a", 1, "app:1")], "")]);
    let (nodes, _, _tasks) = start(&server);
    until(|| nodes.synced()).await;
    nodes.read(|index| assert_eq!(index.map(Index::len), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_old_begins_with_a_list_that_forgets() {
    let expired = json!({ "status": "Failure", "reason": "Expired", "message": "too old", "code": 410 });
    let server = Server::new([
        page(&[node("a", 1, "app:1"), node("b", 2, "app:1")], ""),
        Reply::Watch(vec![event("ERROR", &expired)], End::Close),
    ]);
    let (nodes, metrics, _tasks) = start(&server);
    until(|| server.asked().len() == 3).await;
    assert_eq!(listed(&nodes, "app:1"), ["a", "b"]); // as long as the new list hangs
    server.reply(page(&[node("b", 3, "app:1"), node("c", 4, "app:1")], ""));
    until(|| listed(&nodes, "app:1") == ["b", "c"]).await;
    assert!(metrics.encode().unwrap().contains("berth_watch_failures_total{kind=\"nodes\"} 2\n"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_taken_up_where_it_broke() {
    let server = Server::new([
        page(&[node("a", 1, "app:1")], ""),
        Reply::Watch(vec![event("ADDED", &node("b", 11, "app:1"))], End::Break),
        Reply::Refused,
        Reply::Refused,
        Reply::Watch(vec![event("ADDED", &node("c", 12, "app:1"))], End::Silence),
    ]);
    let (nodes, metrics, _tasks) = start(&server);
    until(|| listed(&nodes, "app:1") == ["a", "b", "c"]).await;
    let asked = server.asked();
    assert!(asked[2..].iter().all(|line| line.ends_with("resourceVersion=11")), "{asked:?}");
    assert!(metrics.encode().unwrap().contains("berth_watch_failures_total{kind=\"nodes\"} 3\n"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_counts_as_dead() {
    let server = Server::new([
        Reply::Silence,                     // the list, before anything is answered
        Reply::Watch(vec![], End::Silence), // the list, after the head
        page(&[node("a", 1, "app:1")], ""),
        Reply::Watch(vec![], End::Silence),
        Reply::Watch(vec![event("ADDED", &node("b", 11, "app:1"))], End::Silence),
    ]);
    let (nodes, _, _tasks) = start(&server);
    until(|| nodes.synced()).await;
    until(|| listed(&nodes, "app:1") == ["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_is_news_and_a_refusal_is_not() {
    let server = Server::new([page(&[node("a", 1, "app:1")], ""), Reply::Watch(vec![], End::Close)]);
    let (nodes, metrics, _tasks) = start(&server);
    until(|| nodes.synced()).await;
    until(|| server.asked().len() == 3).await; // a watch that hangs
    time::sleep(Duration::from_secs(30)).await;
    assert!(heard(&nodes) >= Duration::from_secs(30));
    for _ in 0..6 {
        server.reply(Reply::Json(503, json!({ "code": 503 })));
    }
    time::sleep(Duration::from_secs(200)).await;
    assert!(heard(&nodes) >= Duration::from_secs(230), "{:?}", heard(&nodes));
    for _ in 0..20 {
        server.reply(Reply::Watch(vec![bookmark()], End::Silence));
    }
    until(|| heard(&nodes) < Duration::from_secs(1)).await;
    time::sleep(Duration::from_secs(300)).await;
    assert!(heard(&nodes) <= Duration::from_secs(66), "{:?}", heard(&nodes));
    assert!(metrics.encode().unwrap().contains("berth_nodes 1\n"));
}

#[tokio::test(start_paused = true)]
async fn tells_of_changed_images_only() {
    let mut cordoned = node("a", 11, "app:1");
    cordoned["spec"] = json!({ "unschedulable": true });
    let server = Server::new([
        page(&[node("a", 1, "app:1")], ""),
        Reply::Watch(vec![event("MODIFIED", &cordoned)], End::Silence),
        Reply::Watch(vec![event("MODIFIED", &node("a", 12, "app:2"))], End::Silence),
        Reply::Watch(vec![event("DELETED", &node("a", 13, "app:2"))], End::Silence),
    ]);
    let (nodes, _, _tasks) = start(&server);
    let mut changes = nodes.changes();
    until(|| changes.has_changed().unwrap()).await; // the list is complete
    changes.mark_unchanged();
    until(|| nodes.read(|index| index.unwrap().get("a").unwrap().unschedulable())).await;
    assert!(!changes.has_changed().unwrap());
    until(|| changes.has_changed().unwrap()).await;
    assert_eq!(listed(&nodes, "app:2"), ["a"]);
    changes.mark_unchanged();
    until(|| changes.has_changed().unwrap()).await;
    assert_eq!(listed(&nodes, "app:2"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn however_long_the_api_was_away_it_is_asked_every_other_second() {
    let server = Server::new((0..100).map(|_| Reply::Refused));
    let (nodes, _, _tasks) = start(&server);
    until(|| server.asked().len() == 80).await;
    let before = time::Instant::now();
    until(|| server.asked().len() == 90).await;
    assert!(before.elapsed() <= Duration::from_secs(2 * 10), "{:?}", before.elapsed());
    assert!(before.elapsed() >= Duration::from_secs(1), "{:?}", before.elapsed());
    assert!(!nodes.synced());
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_said_in_the_watch_counts_at_once_and_for_two_minutes() {
    let mut loaded = node("a", 11, "other:1");
    let said = json!({ "docker.io/library/app:dev": { "at": "2020-01-01T00:00:00Z" } }).to_string(); // by a wrong clock
    loaded["metadata"]["annotations"] = json!({ "berth.dev/loaded": said, "other": "7" });
    let server = Server::new([
        page(&[node("a", 1, "other:1")], ""),
        Reply::Watch(vec![event("MODIFIED", &loaded)], End::Silence),
    ]);
    let (nodes, _, _tasks) = start(&server);
    until(|| nodes.synced()).await;
    let told = || {
        let (image, now) = ("app:dev".parse().unwrap(), Now::read().instant);
        nodes.read(|index| index.unwrap().told(&image, now).count())
    };
    until(|| told() == 1).await;
    time::sleep(Duration::from_secs(119)).await;
    assert_eq!(told(), 1);
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!(told(), 0);
}

//! Both sides of the heartbeat.

use serde_json::Value;
use tokio::task::JoinSet;

use super::*;
use crate::follow::fake::{End, Reply, Server, event, page, until};

const RENEWED: &str = "2026-11-21T08:00:00.000000Z";

fn lease(renewed: &str, version: u32) -> Value {
    json!({
        "metadata": { "name": LEASE, "namespace": "berth", "resourceVersion": version.to_string() },
        "spec": { "renewTime": renewed },
    })
}

#[test]
fn only_a_change_is_a_sign_of_life() {
    let (now, wall) = (Instant::now() + Duration::from_secs(1_000_000), RENEWED.parse::<Timestamp>().unwrap());
    let later = |seconds: u64| (now + Duration::from_secs(seconds), wall + Duration::from_secs(seconds));

    // At first sight the controller's clock is believed.
    let first = |age| seen(None, wall, later(age).0, later(age).1);
    assert_eq!(first(0), Some(Beat { renewed: wall, at: now }));
    assert_eq!(first(50), Some(Beat { renewed: wall, at: now }));
    // A clock that is ahead of ours says nothing worse than "just now".
    assert_eq!(seen(None, wall + Duration::from_secs(900), now, wall).map(|beat| beat.at), Some(now));

    // Later only our own counts, and what we have seen before is old news.
    let (soon, wrong) = (later(40).0, wall - Duration::from_secs(5_000));
    assert_eq!(seen(first(0), wall, soon, wall), first(0));
    assert_eq!(seen(first(0), wrong, soon, wall), Some(Beat { renewed: wrong, at: soon }));
}

#[test]
fn a_controller_is_dead_after_a_minute() {
    let now = Instant::now();
    let heartbeat = Heartbeat::fixed(now);
    assert!(heartbeat.alive(now));
    assert!(heartbeat.alive(now + Duration::from_secs(59)));
    assert!(!heartbeat.alive(now + Duration::from_secs(60)));
    assert!(!Heartbeat::default().alive(now));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_followed() {
    let server = Server::new([
        page(&[lease("2020-01-01T00:00:00.000000Z", 1)], ""), // long dead
        Reply::Watch(vec![event("MODIFIED", &lease(RENEWED, 11))], End::Silence),
        Reply::Watch(vec![event("DELETED", &lease(RENEWED, 12))], End::Silence),
        Reply::Watch(vec![event("ADDED", &lease("2020-01-01T00:00:01.000000Z", 13))], End::Silence),
    ]);
    let heartbeat = Arc::new(Heartbeat::default());
    let mut tasks = JoinSet::new();
    let metrics = Arc::new(Metrics::default());
    tasks.spawn(Arc::clone(&heartbeat).follow(server.client(), "berth".to_owned(), metrics));
    let now = || time::Instant::now().into_std();

    until(|| heartbeat.alive(now())).await;
    let asked = server.asked();
    let leases = "GET /apis/coordination.k8s.io/v1/namespaces/berth/leases?";
    assert!(
        asked.iter().all(|line| line.starts_with(leases) && line.contains("metadata.name%3Dberth-controller")),
        "{asked:?}"
    );
    time::sleep(Duration::from_secs(61)).await;
    assert!(!heartbeat.alive(now()));
    until(|| heartbeat.last.lock().unwrap().is_none()).await; // deleted
    until(|| server.asked().len() == 4).await;
    time::sleep(Duration::from_secs(1)).await;
    assert!(!heartbeat.alive(now()), "a lease that was renewed years ago");
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_and_made_where_it_is_missing() {
    let missing = || Reply::Json(404, json!({ "status": "Failure", "reason": "NotFound", "message": "", "code": 404 }));
    let exists =
        Reply::Json(409, json!({ "status": "Failure", "reason": "AlreadyExists", "message": "", "code": 409 }));
    let server = Server::new([
        missing(),
        Reply::Json(201, lease(RENEWED, 1)),
        Reply::Json(200, lease(RENEWED, 2)),
        Reply::Refused,
        missing(),
        exists, // the other controller was first
        Reply::Silence,
        Reply::Json(200, lease(RENEWED, 3)),
    ]);
    let started = time::Instant::now();
    let mut tasks = JoinSet::new();
    tasks.spawn(renew(server.client(), "berth".to_owned(), "pod-1".to_owned(), || true));
    until(|| server.asked().len() == 8).await;
    assert_eq!(started.elapsed().as_secs(), 75); // five turns of 15 s
    let methods: Vec<_> =
        server.asked().iter().map(|line| line.split('?').next().unwrap_or_default().to_owned()).collect();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/berth/leases";
    let (patch, post) = (format!("PATCH {leases}/berth-controller"), format!("POST {leases}"));
    assert_eq!(methods, [&patch, &post, &patch, &patch, &patch, &post, &patch, &patch].map(String::as_str));
    for body in server.bodies() {
        assert_eq!(body["spec"]["holderIdentity"], "pod-1");
        let renewed: Timestamp = body["spec"]["renewTime"].as_str().unwrap().parse().unwrap();
        assert!(Timestamp::now().duration_since(renewed).as_secs() < 60, "the real clock");
    }
    assert_eq!(server.bodies()[1]["metadata"]["name"], LEASE);
}

/// A Pod that is gated while nobody can open the gate waits for nothing.
#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_only_while_gates_can_be_opened() {
    let server = Server::new((0..4).map(|version| Reply::Json(200, lease(RENEWED, version))));
    let able = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = able.clone();
    let mut tasks = JoinSet::new();
    let is_able = move || asked.load(std::sync::atomic::Ordering::Relaxed);
    tasks.spawn(renew(server.client(), "berth".to_owned(), "pod-1".to_owned(), is_able));
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.asked().len(), 0);
    able.store(true, std::sync::atomic::Ordering::Relaxed);
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.asked().len(), 1, "at once");
    time::sleep(Duration::from_secs(30)).await;
    assert_eq!(server.asked().len(), 3);
    able.store(false, std::sync::atomic::Ordering::Relaxed);
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.asked().len(), 3);
}

//! What a replica costs that is killed, or falls silent (R3). The others answer on.

use std::time::{Duration, Instant};

use axum::{Router, http::StatusCode};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    bar,
    caller::Call,
    connection::Failure,
    fleet::{Fleet, failed},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_costs_what_it_was_answering() {
    let (mut fleet, _registry) = busy().await;
    let load = fleet.load(SLOW, RATE);
    sleep(bar(Duration::from_secs(4), Duration::from_secs(15))).await;
    let mut victim = fleet.replicas.swap_remove(0);
    let lost = victim.reviews;
    let (killed, in_flight) =
        (Instant::now(), fleet.callers.iter().map(|caller| caller.in_flight(lost)).sum::<usize>());
    victim.kill();
    victim.ended(Duration::from_secs(10)).await;
    let dead = Instant::now();
    let mut lateness = JoinSet::new();
    fleet.remove(lost, REMOVAL, &mut lateness);
    sleep(bar(Duration::from_secs(4), Duration::from_secs(15))).await;
    let calls = load.end().await;

    let failed = failed(&calls);
    assert!(failed.iter().all(|call| call.peer == lost), "others failed: {failed:?}");
    let broken = count(&failed, Failure::Broken);
    // Nobody listens there any more: the Service's business, not the replica's.
    let refused = count(&failed, Failure::Dial);
    // It takes a moment to die.
    let meanwhile = calls.iter().filter(|call| call.peer == lost && (killed..=dead).contains(&call.sent)).count();
    println!(
        "{} calls, {in_flight} in flight at the replica that was killed, and {meanwhile} sent while it died: {broken} \
         failed, and {refused} connections were refused until its endpoint was gone",
        calls.len()
    );
    assert!(in_flight > 0, "the test must meet what it is about");
    assert_eq!(broken + refused, failed.len(), "{failed:?}");
    assert!(broken <= in_flight + meanwhile, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_replica_costs_what_was_on_its_way_to_it() {
    let (mut fleet, _registry) = busy().await;
    let load = fleet.load(SLOW, RATE);
    sleep(bar(Duration::from_secs(4), Duration::from_secs(10))).await;
    let victim = fleet.replicas.swap_remove(0);
    let lost = victim.reviews;
    victim.silence();
    let sum = |of: fn(&crate::caller::Caller, std::net::SocketAddr) -> usize| -> usize {
        fleet.callers.iter().map(|caller| of(caller, lost)).sum()
    };
    let (in_flight, pooled, before) = (
        sum(crate::caller::Caller::in_flight),
        sum(crate::caller::Caller::pooled),
        sum(crate::caller::Caller::dialled),
    );
    let mut lateness = JoinSet::new();
    fleet.remove(lost, REMOVAL, &mut lateness);
    sleep(bar(Duration::from_secs(4), Duration::from_secs(20))).await;
    let dials = sum(crate::caller::Caller::dialled) - before;
    let calls = load.end().await;

    let failed = failed(&calls);
    println!(
        "{} calls, {in_flight} in flight at the replica that fell silent, {pooled} connections to it idle and {dials} \
         dialled until its endpoint was gone: {} failed",
        calls.len(),
        failed.len()
    );
    assert!(failed.iter().all(|call| call.peer == lost), "others failed: {failed:?}");
    assert!(!failed.is_empty() && failed.len() <= in_flight + pooled + dials, "{failed:?}");
}

fn count(failed: &[&Call], what: Failure) -> usize {
    failed.iter().filter(|call| call.outcome == Err(what)).count()
}

/// A fleet that always has something to do: its registry takes a tenth of a second.
async fn busy() -> (Fleet, JoinSet<()>) {
    let slow = Router::new().fallback(async || {
        sleep(Duration::from_millis(100)).await;
        let digest = format!("sha256:{:064x}", 1);
        let headers =
            [("content-type", "application/vnd.oci.image.index.v1+json".to_owned()), ("docker-content-digest", digest)];
        (StatusCode::OK, headers)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    let mut registry = JoinSet::new();
    registry.spawn(async move { axum::serve(listener, slow).await.unwrap() });
    let registries = format!("registries: [{{host: registry.example, endpoint: \"http://{endpoint}\"}}]\n");
    (Fleet::start(&registries).await, registry)
}

/// An image about which the registry is asked.
const SLOW: &str = "registry.example/app:latest";
/// Calls a second.
const RATE: u32 = 100;
/// When the endpoint of a replica that is lost is gone.
const REMOVAL: Duration = Duration::from_secs(2);

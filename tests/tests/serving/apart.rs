//! A webhook whose Kubernetes API is gone: it serves on (R12), and when it starts it waits (R13), and it is never
//! taken for dead (R20).

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::sleep;

use crate::{
    Dice,
    api::Api,
    bar,
    connection::{Connection, Trust},
    replica::{Replica, authority},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_without_the_api_it_lives_and_is_ready_soon_after_its_return() {
    let starts = (1..=bar(4, 20)).map(|seed| start_before_the_api(Dice::new(seed).seconds(0, bar(6, 60))));
    let started = join_all(starts).await;
    let longest = started.iter().map(|(took, ..)| *took).max().unwrap();
    println!("ready {longest:?} after the API's return at the latest");
    assert!(longest < bar(BUSY, Duration::from_secs(2)), "{longest:?}");
}

/// Starts a webhook, and the API after `pause`: how long after that it is ready. Both are given back, because to end them
/// takes the time of those who still wait.
async fn start_before_the_api(pause: Duration) -> (Duration, Replica, Api) {
    let (mut api, authority) = (Api::absent(), authority());
    let (trust, mut replica) = (Trust::new(&authority), Replica::in_cluster(api.address, LOST).await);
    api.issue(&authority);
    let began = Instant::now();
    while began.elapsed() < pause {
        assert!(replica.alive().await, "{}", replica.log());
        let (ready, words) = replica.status("/readyz").await.unwrap();
        assert!(!ready && words.contains("waiting for the Secret berth-tls"), "{words}");
        let refused = Connection::try_dial(replica.reviews, &trust).await.err().unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData, "an alert, and no silence: {refused}");
        sleep(Duration::from_millis(200)).await;
    }
    api.come().await;
    let back = Instant::now();
    replica.ready().await;
    let took = back.elapsed();
    let answered = Connection::dial(replica.reviews, &trust).await.unwrap().review(UNKNOWN).await;
    assert_eq!(answered, Ok(false));
    assert!(!replica.log().contains("panicked"), "{}", replica.log());
    (took, replica, api)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_api_and_its_registry_it_serves_on_and_is_never_taken_for_dead() {
    let (mut api, authority) = (Api::absent(), authority());
    api.come().await;
    api.issue(&authority);
    let mut replica = Replica::in_cluster(api.address, LOST).await;
    replica.ready().await;
    let trust = Trust::new(&authority);
    let mut connection = Connection::dial(replica.reviews, &trust).await.unwrap();
    let leaf = connection.certificate();

    api.go();
    let (gone, mut calls) = (Instant::now(), 0);
    while gone.elapsed() < Duration::from_secs(bar(6, 600)) || calls < bar(500, 10_000) {
        assert!(replica.alive().await, "{}", replica.log());
        let (ready, words) = replica.status("/readyz").await.unwrap();
        assert!(ready, "{words}");
        for _ in 0..20 {
            assert_eq!(connection.review(UNKNOWN).await, Ok(false));
            calls += 1;
        }
        let mut fresh = Connection::dial(replica.reviews, &trust).await.unwrap();
        assert_eq!(fresh.review("Not an image").await, Ok(false));
        sleep(Duration::from_millis(100)).await;
    }
    let metrics = replica.status("/metrics").await.unwrap().1;
    let stale = metrics.lines().find_map(|line| line.strip_prefix("berth_nodes_stale_seconds ")).unwrap();
    assert!(stale.parse::<f64>().unwrap() > 4.0, "the staleness is told: {stale}");

    api.issue(&authority);
    api.come().await;
    let back = Instant::now();
    while Connection::dial(replica.reviews, &trust).await.unwrap().certificate() == leaf {
        assert!(back.elapsed() < Duration::from_secs(10), "what changed meanwhile is not served");
        sleep(Duration::from_millis(50)).await;
    }
    println!("{calls} calls without the API, none failed; its news served {:?} after its return", back.elapsed());
}

/// What two seconds are where other tests run, too.
const BUSY: Duration = Duration::from_secs(10);
/// A registry whose name has no address.
const LOST: &str = "registries: [{host: lost.example, endpoint: \"https://registry.invalid\"}]\n";
/// An image there.
const UNKNOWN: &str = "lost.example/app:latest";

//! The promise of freshness on a real registry that is pushed to all the time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use berth_tests::{
    faults::{FaultProxy, Manner},
    registry::Registry,
};
use tokio::{
    runtime,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Berth, HOST, LIMIT, admit, bar, berth};

/// A registry, and what was pushed to it so far; the last one may still be under way.
struct Pushed {
    registry: Registry,
    digests: Mutex<Vec<String>>,
    enough: AtomicBool,
}

/// A digest that was replaced by a push that had finished when a Pod was created is stale. Pods of a large crowd come all
/// the time, in the middle of requests, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_gets_the_digest_from_before_a_push_that_had_finished() {
    let registry = Registry::start().await.unwrap();
    let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
    proxy.behave(Manner { delay: ROUND_TRIP, ..Manner::default() }).await.unwrap();
    let berth = Arc::new(berth("pin: { maxAge: 0s, lastKnownGood: 0s }", &[(HOST, &proxy.endpoint())]));
    let first = registry.push("shop/app", "latest", "push 0").await.unwrap();
    let pushed = Arc::new(Pushed { registry, digests: Mutex::new(vec![first]), enough: AtomicBool::new(false) });
    let pushing = {
        let pushed = pushed.clone();
        thread::spawn(move || push(&pushed)) // apart from the crowd, which must not hold it up
    };
    let start = Instant::now();
    let (crowd, each) = (bar(200, 1_000), bar(15, 100));
    let creators: JoinSet<usize> =
        (0..crowd).map(|number| create(berth.clone(), pushed.clone(), number * each, each)).collect();
    let stale: usize = creators.join_all().await.into_iter().sum();
    let trips = start.elapsed().div_duration_f64(ROUND_TRIP);
    pushed.enough.store(true, Ordering::Relaxed);
    pushing.join().unwrap();

    let (pods, count) = (crowd * each, pushed.digests.lock().unwrap().len() - 1);
    let heads = pushed.registry.count("HEAD", "/v2/shop/app/manifests/latest");
    println!(
        "{pods} Pods, {crowd} at a time, {count} pushes, {stale} stale, {heads} requests in {trips:.0} round trips"
    );
    assert!(count > 20, "{count} pushes");
    assert_eq!(stale, 0, "of {pods} Pods and {count} pushes");
    assert!(heads as f64 <= 2.0 * trips, "{heads} requests in {trips} round trips");
}

/// Creates so many Pods one after the other, `first` being the number of the first; how many were told something stale.
async fn create(berth: Arc<Berth>, pushed: Arc<Pushed>, first: usize, count: usize) -> usize {
    let image = format!("{HOST}/shop/app");
    let mut stale = 0;
    for number in first..first + count {
        let share = (number as f64 * 0.618_033_988_749_895).fract(); // not in step with the answers
        sleep(PAUSE.mul_f64(share)).await;
        let finished = pushed.digests.lock().unwrap().len() - 1;
        let digest = admit(&berth, &image, LIMIT).await.digest.unwrap();
        // A push that is under way may be seen before it is known to have finished.
        let told = pushed.digests.lock().unwrap().iter().position(|pushed| *pushed == digest);
        stale += usize::from(told.is_some_and(|told| told < finished));
    }
    stale
}

/// Pushes one build after the other under the same tag.
fn push(pushed: &Pushed) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    while !pushed.enough.load(Ordering::Relaxed) {
        let text = format!("push {}", pushed.digests.lock().unwrap().len());
        let digest = runtime.block_on(pushed.registry.push("shop/app", "latest", &text)).unwrap();
        pushed.digests.lock().unwrap().push(digest);
    }
}

const ROUND_TRIP: Duration = Duration::from_millis(30);
/// Longest time between two Pods of one creator.
const PAUSE: Duration = Duration::from_millis(200);

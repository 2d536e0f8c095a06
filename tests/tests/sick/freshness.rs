//! The promise of freshness on a real registry that is pushed to all the time.

use std::{sync::Mutex, time::Duration};

use berth_tests::{
    faults::{FaultProxy, Manner},
    registry::Registry,
};
use futures::future::{join, join_all};
use tokio::time::{Instant, sleep};

use super::{HOST, LIMIT, admit, bar, berth};

/// A digest that was replaced by a push that had finished when a Pod was created is stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_gets_the_digest_from_before_a_push_that_had_finished() {
    let registry = Registry::start().await.unwrap();
    let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
    let round_trip = Duration::from_millis(30);
    proxy.behave(Manner { delay: round_trip, ..Manner::default() }).await.unwrap();
    let berth = berth("pin: { maxAge: 0s, lastKnownGood: 0s }", &[(HOST, &proxy.endpoint())]);
    let (pods, over) = (1_000_usize, Duration::from_secs(bar(3, 20).try_into().unwrap()));
    let first = registry.push("shop/app", "latest", "push 0").await.unwrap();
    let there = Mutex::new(vec![first]);
    let start = Instant::now();
    let pushes = async {
        while start.elapsed() < over {
            let text = format!("push {}", there.lock().unwrap().len());
            let digest = registry.push("shop/app", "latest", &text).await.unwrap();
            there.lock().unwrap().push(digest);
        }
    };
    let image = format!("{HOST}/shop/app");
    let creations = (0..pods).map(|number| {
        let (berth, image, there) = (&berth, &image, &there);
        async move {
            sleep(over.mul_f64(f64::from(u32::try_from(number).unwrap()) / 1_000.0)).await;
            let finished = there.lock().unwrap().len() - 1;
            let digest = admit(berth, image, LIMIT).await.digest.unwrap();
            // A push that is under way may be seen before it is known to have finished.
            let told = there.lock().unwrap().iter().position(|pushed| *pushed == digest);
            usize::from(told.is_some_and(|told| told < finished))
        }
    });
    let (stale, ()) = join(join_all(creations), pushes).await;
    let (stale, pushes) = (stale.into_iter().sum::<usize>(), there.lock().unwrap().len());
    let heads = registry.count("HEAD", "/v2/shop/app/manifests/latest");
    let trips = start.elapsed().div_duration_f64(round_trip);
    println!("{pods} Pods, {pushes} pushes, {stale} stale, {heads} requests in {trips:.0} round trips");
    assert!(pushes > 20, "{pushes} pushes");
    assert_eq!(stale, 0, "of {pods} Pods and {pushes} pushes");
    assert!(heads as f64 <= 2.0 * trips, "{heads} requests in {trips} round trips");
}

//! The promise of freshness on a real registry that is pushed to all the time.

use std::{cell::Cell, sync::Mutex, time::Duration};

use berth_tests::{
    faults::{FaultProxy, Manner},
    registry::Registry,
};
use futures::future::{join, join_all};
use tokio::time::{Instant, sleep};

use super::{HOST, LIMIT, admit, bar, berth};

/// A digest that was replaced by a push that had finished when a Pod was created is stale. A thousand Pods are on their
/// way at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_gets_the_digest_from_before_a_push_that_had_finished() {
    let registry = Registry::start().await.unwrap();
    let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
    let round_trip = Duration::from_millis(30);
    proxy.behave(Manner { delay: round_trip, ..Manner::default() }).await.unwrap();
    let berth = berth("pin: { maxAge: 0s, lastKnownGood: 0s }", &[(HOST, &proxy.endpoint())]);
    let (crowd, each) = (1_000_usize, bar(20, 100));
    let there = Mutex::new(vec![registry.push("shop/app", "latest", "push 0").await.unwrap()]);
    let start = Instant::now();
    let all_created = Cell::new(false);
    let pushes = async {
        while !all_created.get() {
            let text = format!("push {}", there.lock().unwrap().len());
            let digest = registry.push("shop/app", "latest", &text).await.unwrap();
            there.lock().unwrap().push(digest);
        }
    };
    let image = format!("{HOST}/shop/app");
    let create = async || {
        let finished = there.lock().unwrap().len() - 1;
        let digest = admit(&berth, &image, LIMIT).await.digest.unwrap();
        // A push that is under way may be seen before it is known to have finished.
        let told = there.lock().unwrap().iter().position(|pushed| *pushed == digest);
        usize::from(told.is_some_and(|told| told < finished))
    };
    let creations = async {
        let creators = (0..crowd).map(|number| {
            let create = &create;
            async move {
                sleep(round_trip.mul_f64(number as f64 / 1_000.0)).await; // not in step with the answers
                let mut stale = 0;
                for _ in 0..each {
                    stale += create().await;
                }
                stale
            }
        });
        let stale: usize = join_all(creators).await.into_iter().sum();
        all_created.set(true);
        stale
    };
    let (stale, ()) = join(creations, pushes).await;
    let (pods, pushes) = (crowd * each, there.lock().unwrap().len() - 1);
    let heads = registry.count("HEAD", "/v2/shop/app/manifests/latest");
    let trips = start.elapsed().div_duration_f64(round_trip);
    println!(
        "{pods} Pods, {crowd} at a time, {pushes} pushes, {stale} stale, {heads} requests in {trips:.0} round trips"
    );
    assert!(pushes > 5, "{pushes} pushes");
    assert_eq!(stale, 0, "of {pods} Pods and {pushes} pushes");
    assert!(heads as f64 <= 2.0 * trips, "{heads} requests in {trips} round trips");
}

//! Everything that can be wrong with a registry, beside one that is well.

use std::time::Duration;

use berth_tests::{
    faults::{Fault, FaultProxy, Manner},
    registry::Registry,
};
use futures::future::{join, join_all};
use tokio::time::{Instant, sleep};

use super::{Admitted, Berth, HEALTHY, HOST, LIMIT, admit, bar, berth, is_full, p99};

/// How long Berth may take for a Pod.
const DEADLINE: Duration = Duration::from_millis(800);
/// What a busy machine adds to an answer at the deadline.
const SLACK: Duration = Duration::from_millis(400);
/// Time from one Pod to the next.
const EVERY: Duration = Duration::from_millis(4);
/// Tags that the registry has.
const TAGS: usize = 40;

/// What goes wrong, and whether it is before or instead of TLS.
fn faults() -> Vec<(Fault, &'static str)> {
    let plain = vec![
        Fault::Refuse,
        Fault::Unreachable,
        Fault::BlackHole,
        Fault::ResetConnection,
        Fault::StallAnswer,
        Fault::StallHeaders,
        Fault::StallBody,
        Fault::Trickle,
        Fault::ResetHeaders,
        Fault::ResetBody,
        Fault::Status(500, None),
        Fault::Status(503, Some("2".to_owned())),
        Fault::Status(429, Some("2".to_owned())),
        Fault::Challenge("Bearer realm=\"http://127.0.0.1:1/token\"".to_owned()),
        Fault::Challenge("Basic realm=\"loop\"".to_owned()),
        Fault::RedirectLoop,
        Fault::BrokenDigest,
        Fault::Html,
    ];
    plain.into_iter().map(|fault| (fault, "http")).chain([(Fault::BlackHole, "https")]).collect()
}

/// Whatever is wrong: everybody is answered by the deadline, unpinned and with a note, and Pods of another registry do
/// not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sick_registry_costs_its_own_pods_a_bounded_wait_and_others_nothing() {
    let registry = Registry::start().await.unwrap();
    for tag in 0..TAGS {
        registry.push("shop/app", &format!("v{tag}"), "text").await.unwrap();
    }
    let pods = bar(TAGS, 1_000);
    let over = DEADLINE + EVERY * u32::try_from(pods).unwrap();
    let mut after = Duration::ZERO;
    for (fault, scheme) in faults() {
        let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
        let endpoint = format!("{scheme}://{}", proxy.host());
        let settings = "pin: { tags: ['*'], lastKnownGood: 0s }";
        let berth = berth(settings, &[(HOST, &endpoint), (HEALTHY, &registry.endpoint())]);
        // Bodies are read only where the headers name no digest.
        let without_digest = matches!(fault, Fault::StallBody | Fault::ResetBody);
        proxy.behave(Manner { fault: fault.clone(), without_digest, ..Manner::default() }).await.unwrap();
        if is_full() || after.is_zero() {
            after = p99(healthy(&berth, over).await);
        }
        let before = after;
        let (sick, beside) = join(crowd(&berth, pods), healthy(&berth, over)).await;
        let beside = p99(beside);
        after = p99(healthy(&berth, over).await);
        // A machine that others use is not as quiet all the time.
        let quiet = before.max(after);
        let latest = sick.iter().map(|pod| pod.took).max().unwrap();
        println!("{scheme} {fault:?}: latest {latest:?}; healthy p99 {quiet:?} when quiet, {beside:?} beside it");
        let unpinned = sick.iter().filter(|pod| pod.digest.is_none() && pod.note.contains("not pinned")).count();
        assert_eq!(unpinned, pods, "{fault:?}: {:?}", sick[0]);
        assert!(latest <= DEADLINE + SLACK, "{fault:?}: {latest:?}");
        let more = if is_full() { Duration::from_millis(1) } else { Duration::from_millis(100) };
        assert!(beside <= (quiet + more).max(quiet.mul_f64(1.2)), "{fault:?}: {beside:?} instead of {quiet:?}");
    }
}

/// Pods with different tags of the sick registry, one after the other.
async fn crowd(berth: &Berth, pods: usize) -> Vec<Admitted> {
    join_all((0..pods).map(|number| async move {
        sleep(EVERY * u32::try_from(number).unwrap()).await;
        admit(berth, &format!("{HOST}/shop/app:v{}", number % TAGS), DEADLINE).await
    }))
    .await
}

/// What Pods of the healthy registry wait, one after the other, for so long.
async fn healthy(berth: &Berth, over: Duration) -> Vec<Duration> {
    let (start, image, mut times) = (Instant::now(), format!("{HEALTHY}/shop/app:v1"), Vec::new());
    while start.elapsed() < over {
        let pod = admit(berth, &image, LIMIT).await;
        assert!(pod.digest.is_some(), "{pod:?}");
        times.push(pod.took);
        sleep(Duration::from_millis(2)).await;
    }
    times
}

/// One connection in ten gets no word, and hardly anybody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stalls_holds_up_nobody_else() {
    let registry = Registry::start().await.unwrap();
    let (tags, pods) = (bar(40, 1_000), 1_000_usize);
    for tag in 0..tags {
        registry.push("shop/app", &format!("v{tag}"), "text").await.unwrap();
    }
    let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
    let manner = Manner { fault: Fault::BlackHole, percent: 10, ..Manner::default() };
    proxy.behave(manner).await.unwrap();
    let berth = berth("pin: { tags: ['*'], lastKnownGood: 0s }", &[(HOST, &proxy.endpoint())]);
    for together in [true, false] {
        let over = Duration::from_secs(if together { 0 } else { 3 });
        let creations = (0..pods).map(|number| {
            let berth = &berth;
            async move {
                sleep(over.mul_f64(f64::from(u32::try_from(number).unwrap()) / 1_000.0)).await;
                admit(berth, &format!("{HOST}/shop/app:v{}", number % tags), Duration::from_secs(9)).await
            }
        });
        let answers = join_all(creations).await;
        let pinned = answers.iter().filter(|pod| pod.digest.is_some()).count();
        let connections = proxy.connections();
        println!(
            "{pinned} of {pods} pinned, {connections} connections, p99 {:?}",
            p99(answers.iter().map(|pod| pod.took).collect())
        );
        assert!(pinned * 100 >= pods * 99, "{pinned} of {pods}");
        assert!(connections >= 10, "{connections}");
    }
}

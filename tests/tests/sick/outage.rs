//! A registry that goes away after it was asked.

use std::{collections::HashMap, time::Duration};

use berth_tests::registry::Registry;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{HOST, LIMIT, admit, bar, berth};

/// Pods get the last digest that is known, and say so; and the fresh one as soon as the registry is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_known_digest_is_served_and_flagged() {
    let mut registry = Registry::start().await.unwrap();
    let (tags, pods) = (20_usize, bar(400, 10_000));
    let mut pushed = HashMap::new();
    for tag in 0..tags {
        let digest = registry.push("shop/app", &format!("v{tag}"), &format!("text {tag}")).await.unwrap();
        pushed.insert(format!("{HOST}/shop/app:v{tag}"), digest);
    }
    let berth = berth("pin: { tags: ['*'], maxAge: 0s, lastKnownGood: 1h }", &[(HOST, &registry.endpoint())]);
    for (image, digest) in &pushed {
        let pod = admit(&berth, image, LIMIT).await;
        assert_eq!((pod.digest.as_ref(), &*pod.note), (Some(digest), ""));
    }
    registry.stop();
    for crowd in 0..pods / 200 {
        let images: Vec<_> = (0..200).map(|number| format!("{HOST}/shop/app:v{}", (crowd + number) % tags)).collect();
        for (image, pod) in images.iter().zip(join_all(images.iter().map(|image| admit(&berth, image, LIMIT))).await) {
            assert_eq!(pod.digest.as_ref(), pushed.get(image), "{pod:?}");
            assert!(pod.note.contains("pinned as ") && pod.note.contains(" ago: "), "{pod:?}");
        }
    }
    let unknown = admit(&berth, &format!("{HOST}/shop/app:unknown"), LIMIT).await;
    assert!(unknown.digest.is_none() && unknown.note.contains("not pinned"), "{unknown:?}");
    let served = berth.metrics.encode().unwrap();
    assert!(served.contains(&format!("berth_pins_total{{outcome=\"last_known_good\"}} {pods}\n")), "{served}");

    registry.restart().await.unwrap();
    let image = format!("{HOST}/shop/app:v0");
    let fresh = registry.push("shop/app", "v0", "after the outage").await.unwrap();
    let back = Instant::now();
    while admit(&berth, &image, LIMIT).await.digest.as_ref() != Some(&fresh) {
        assert!(back.elapsed() < Duration::from_secs(31), "it is asked again within half a minute");
        sleep(Duration::from_millis(50)).await;
    }
    let again = admit(&berth, &image, LIMIT).await;
    assert_eq!((again.digest, &*again.note), (Some(fresh), ""));
}

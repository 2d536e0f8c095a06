//! Two controllers at the same time, of which one sees the past.

use std::time::Duration;

use anyhow::ensure;
use berth_tests::{
    go_between::{GoBetween, Manner},
    wait::until,
};

use super::{
    CONTROLLER, rotations,
    stage::{COUNTED, Stage},
    times,
    traffic::Traffic,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_sees_the_past_harms_nobody() {
    let stage = Stage::start(rotations::TIMES).await.unwrap();
    let between = GoBetween::start(&stage.cluster, CONTROLLER, COUNTED).await.unwrap();
    let mut other = stage.another(&between).await.unwrap();
    other.ready(Duration::from_secs(30)).await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &rotations::LAGS).await.unwrap();
    let mut refused = 0;
    for past in ["/secrets", "webhookconfigurations", "/"].into_iter().take(times(1).clamp(1, 3)) {
        between.behave(Manner::Frozen(past));
        let before = between.writes().len();
        rotations(&stage, 1).await;
        refused += between.writes()[before..].iter().filter(|write| write.status == Some(409)).count();
        between.behave(Manner::Honest);
    }
    if times(1) > 1 {
        rotations(&stage, times(1)).await; // both see the present again
    }
    println!("two: {refused} writes of the one that saw the past were refused");
    assert!(refused > 0, "the two never met, so this shows nothing");
    traffic.end("two").await.none_failed();
    stage.good().await.unwrap();
}

/// Waits until the CA was replaced so often, by whichever of them.
async fn rotations(stage: &Stage, number: usize) {
    let mut seen = std::collections::BTreeSet::new();
    until("the CA was replaced", Duration::from_secs(3600), async || {
        seen.insert(stage.issuer().await?);
        ensure!(seen.len() > number, "not yet");
        Ok(())
    })
    .await
    .unwrap();
}

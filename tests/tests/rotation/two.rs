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
    let stage = Stage::start(&rotations::lifetimes()).await.unwrap();
    let between = GoBetween::start(&stage.cluster, CONTROLLER, COUNTED).unwrap();
    let mut other = stage.another(&between).await.unwrap();
    other.ready(Duration::from_secs(30)).await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &rotations::LAGS).await.unwrap();
    let (mut refused, mut replaced) = (0, Ok(()));
    for what in (0..times(1)).flat_map(|_| ["/secrets", "webhookconfigurations"]) {
        between.behave(Manner::Frozen(what));
        let before = between.writes().len();
        replaced = replaced.and(rotation(&stage).await);
        refused += between.writes()[before..].iter().filter(|write| write.status == Some(409)).count();
        between.behave(Manner::Honest);
    }
    println!("two: {refused} writes of the one that saw the past were refused");
    traffic.end("two").await.none_failed();
    replaced.unwrap();
    assert!(refused > 0, "the two never met, so this shows nothing");
    stage.good().await.unwrap();
}

/// Waits until the CA was replaced, by whichever of them.
async fn rotation(stage: &Stage) -> anyhow::Result<()> {
    let before = stage.issuer().await?;
    until("the CA was replaced", Duration::from_secs(150), async || {
        ensure!(stage.issuer().await? != before, "not yet");
        Ok(())
    })
    .await
}

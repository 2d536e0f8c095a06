//! A controller that is killed at every write of a rotation, and another one in its place.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use berth_tests::{
    go_between::{Moment, Trap},
    wait::until,
};

use super::{rotations, stage::Stage, times, traffic::Traffic};

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_whenever_the_controller_is_killed() {
    let mut stage = Stage::start(&rotations::lifetimes()).await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &rotations::LAGS).await.unwrap();
    if times(1) == 1 {
        kill_all_through(&mut stage, &[Moment::After, Moment::Before]).await;
    } else {
        kill_all_through(&mut stage, &[Moment::After]).await;
        kill_all_through(&mut stage, &[Moment::Before]).await;
    }
    traffic.end("killed").await.none_failed();
    stage.restart().await.unwrap();
    stage.mended("what was left half done", Duration::from_secs(10)).await;
}

/// Whole rotations, in which each controller lives up to one write: it ends after its first, or before its second, which
/// is the first of the next one; by turns, where there are both `moments`.
async fn kill_all_through(stage: &mut Stage, moments: &[Moment]) {
    let (mut authorities, mut killed_at, mut kills) = (BTreeSet::new(), BTreeSet::new(), 0);
    stage.controller = None;
    while authorities.len() <= times(1) {
        let moment = moments[kills % moments.len()];
        let write = if moment == Moment::After { 1 } else { 2 };
        stage.between.hold();
        let process = stage.restart().await.unwrap().process_id();
        stage.between.set(Trap { write, moment, process });
        let controller = stage.controller.as_mut().unwrap();
        until("the next write comes", Duration::from_secs(90), async || {
            ensure!(!controller.runs()?, "it runs");
            Ok(())
        })
        .await
        .unwrap();
        kills += 1;
        killed_at.extend(stage.between.writes().last().map(|write| write.what.clone()));
        authorities.insert(stage.issuer().await.unwrap());
    }
    println!("killed: {kills} controllers, {moments:?} a write, in {} rotations: {killed_at:?}", authorities.len() - 1);
    for what in ["PATCH secrets/berth-ca", "PATCH secrets/berth-tls", "mutatingwebhookconfigurations/zz-berth.dev"] {
        assert!(killed_at.iter().any(|killed| killed.contains(what)), "none was killed at {what}: {killed_at:?}");
    }
}

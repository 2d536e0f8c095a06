//! One CA after the other, and many leaves.

use std::{env, time::Duration};

use anyhow::ensure;
use berth_tests::{
    go_between::{GoBetween, Manner},
    wait::until,
};

use super::{WEBHOOK, stage::Stage, times, traffic::Traffic};

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_replaced_again_and_again_and_no_call_fails() {
    let stage = Stage::start(&lifetimes()).await.unwrap();
    // A replica that learns of everything late, as where its watch lags.
    let late = GoBetween::start(&stage.cluster, WEBHOOK, &[]).unwrap();
    let replica = stage.replica(&late).await.unwrap();
    late.behave(Manner::Late(Duration::from_millis(1500)));
    let addresses = [stage.webhook.address(), replica.address()];
    let traffic = Traffic::start(&stage.cluster, &addresses, &LAGS).await.unwrap();

    let (rotations, leaves) = (times(1), 3 * times(1));
    let before = stage.told("RotationFinished").await.unwrap();
    until("it was replaced so often", Duration::from_secs(60 * 60), async || {
        let [finished, issued] = [stage.told("RotationFinished").await?, stage.told("CertificateIssued").await?];
        ensure!(finished >= before + rotations && issued >= leaves, "{finished} CAs, {issued} leaves");
        Ok(())
    })
    .await
    .unwrap();
    let [finished, issued] =
        [stage.told("RotationFinished").await.unwrap(), stage.told("CertificateIssued").await.unwrap()];
    println!("rotations: {} CAs, {issued} leaves", finished - before);
    traffic.end("rotations").await.none_failed();
    stage.good().await.unwrap();
}

/// A leaf every 16 s, and a CA every 40 s. Shorter ones would expire where the machine is busy with something else; on one
/// that is not, `BERTH_LIFETIMES` may say others.
pub(crate) fn lifetimes() -> String {
    env::var("BERTH_LIFETIMES").unwrap_or_else(|_| "caLifetime: 60s, leafLifetime: 24s, hold: 2s".to_owned())
}

/// How far behind API servers are: none beyond the hold.
pub(crate) const LAGS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_millis(1800)];

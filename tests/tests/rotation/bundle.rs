//! Webhook configurations that somebody changed: only `caBundle` is put back, and nothing is made again.

use std::time::Duration;

use anyhow::ensure;
use berth_tests::wait::until;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    rotations::LAGS,
    stage::{MUTATING, Stage},
    timed, times,
    traffic::Traffic,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_bundle_is_back_and_nothing_else_is_touched() {
    let stage = Stage::start("hold: 2s").await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &LAGS).await.unwrap();
    edit_by_hand(&stage).await;
    let (mut longest, mut wiped) = (Duration::ZERO, Vec::new());
    for round in 0..times(3) {
        let began = Instant::now();
        let took = wipe(&stage, round).await;
        // A call takes a moment, and an API server learns of the end of it a moment later.
        wiped.push((began - Duration::from_secs(1), Instant::now() + Duration::from_secs(1)));
        longest = longest.max(took);
        sleep(LAGS[2]).await; // so that whoever is behind meets each of them
    }
    println!("bundle: wiped {} times, back within {} ms", times(3), longest.as_millis());
    assert!(longest <= Duration::from_secs(5), "{longest:?}");
    stage.said("default", "zz-berth.dev", "BundleRestored", &["put `caBundle` back"]).await.unwrap();
    traffic.end("bundle").await.failed_only(&wiped);
    a_deleted_configuration_stays_deleted(&stage).await;
}

/// Wipes the bundle of one webhook, or of all; how long it takes until it is back.
async fn wipe(stage: &Stage, round: usize) -> Duration {
    let api = stage.configurations(MUTATING).await.unwrap();
    let before = stage.configuration(MUTATING).await.unwrap();
    let mut webhooks = before["webhooks"].clone();
    let all = round % 2 == 1;
    for webhook in webhooks.as_array_mut().unwrap().iter_mut().take(if all { 9 } else { 1 }) {
        webhook["clientConfig"]["caBundle"] = json!("");
    }
    let parameters = PatchParams { field_manager: Some("gitops".to_owned()), ..PatchParams::default() };
    api.patch("zz-berth.dev", &parameters, &Patch::Merge(json!({ "webhooks": webhooks }))).await.unwrap();
    let back = until("the bundle is back", Duration::from_secs(30), async || {
        let bundles = stage.bundles().await?;
        ensure!(bundles.iter().all(|bundle| !bundle.is_empty()), "{bundles:?}");
        Ok(())
    });
    let (back, took) = timed(back).await;
    back.unwrap();
    let after = stage.configuration(MUTATING).await.unwrap();
    assert_eq!(without_traces(&after), without_traces(&before));
    took
}

/// All of an object but what every write changes, and what a hold that began anew does.
fn without_traces(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| !["resourceVersion", "managedFields", "generation"].contains(&key.as_str()));
    object
}

/// Fields that an administrator may want otherwise.
async fn edit_by_hand(stage: &Stage) {
    let api = stage.configurations(MUTATING).await.unwrap();
    let mut webhooks = stage.configuration(MUTATING).await.unwrap()["webhooks"].clone();
    webhooks[0]["timeoutSeconds"] = json!(7);
    webhooks[0]["matchConditions"] = json!([{ "name": "mine", "expression": "object.metadata.name != 'mine'" }]);
    webhooks[1]["namespaceSelector"]["matchLabels"]["mine"] = json!("true");
    webhooks.as_array_mut().unwrap().reverse();
    let metadata = json!({ "labels": { "mine": "true" }, "annotations": { "mine": "true" } });
    let patch = Patch::Merge(json!({ "metadata": metadata, "webhooks": webhooks }));
    let parameters = PatchParams { field_manager: Some("administrator".to_owned()), ..PatchParams::default() };
    api.patch("zz-berth.dev", &parameters, &patch).await.unwrap();
}

/// Until somebody else makes it again.
async fn a_deleted_configuration_stays_deleted(stage: &Stage) {
    let api = stage.configurations(MUTATING).await.unwrap();
    let mut found = api.get("zz-berth.dev").await.unwrap();
    api.delete("zz-berth.dev", &DeleteParams::default()).await.unwrap();
    // It is certain that the controller has looked meanwhile: a certificate was deleted, and made again.
    stage.secrets().await.unwrap().delete("berth-tls", &DeleteParams::default()).await.unwrap();
    until("there is a certificate", Duration::from_secs(30), async || stage.secret("berth-tls").await.map(drop))
        .await
        .unwrap();
    sleep(Duration::from_secs(2)).await;
    assert!(api.get_opt("zz-berth.dev").await.unwrap().is_none(), "it was made again");

    found.metadata = serde_json::from_value(json!({ "name": "zz-berth.dev" })).unwrap();
    for webhook in found.data["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    }
    api.create(&PostParams::default(), &found).await.unwrap();
    let took = stage.mended("a configuration that was made again", Duration::from_secs(30)).await;
    println!("bundle: a configuration that was made again had it after {} ms", took.as_millis());
    assert!(took <= Duration::from_secs(5), "{took:?}");
}

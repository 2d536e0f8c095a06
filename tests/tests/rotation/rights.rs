//! Rights that somebody took away: the Event and the log name the verb and the resource, and once they are back, so is all
//! else.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    SYSTEM,
    rotations::LAGS,
    stage::{MUTATING, Stage},
    times,
    traffic::Traffic,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_no_call_fails_for_it() {
    let stage = Stage::start("hold: 2s").await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &LAGS).await.unwrap();
    let client = stage.cluster.client().await.unwrap();
    let role: Api<Role> = Api::namespaced(client.clone(), SYSTEM);
    let everywhere: Api<ClusterRole> = Api::all(client);

    for verb in ["get", "patch", "create"].repeat(times(1)) {
        let rules = without(&role, "secrets", verb).await;
        let secrets = stage.secrets().await.unwrap();
        if verb == "create" {
            secrets.delete("berth-tls", &DeleteParams::default()).await.unwrap();
        } else {
            let garbage = Patch::Merge(json!({ "stringData": { "tls.crt": "garbage" } }));
            secrets.patch("berth-tls", &PatchParams::default(), &garbage).await.unwrap();
        }
        complained(&stage, SYSTEM, "berth-", &["cannot", verb, "secrets", "forbidden"]).await;
        give_back(&role, rules).await;
        stage.mended(verb, Duration::from_secs(60)).await;
    }
    let rules = without(&everywhere, "mutatingwebhookconfigurations", "patch").await;
    let api = stage.configurations(MUTATING).await.unwrap();
    // An annotation that is older than the bundle: it has to be published anew, while what is there suffices.
    let annotations = json!({ "metadata": { "annotations": { "berth.dev/generation": null } } });
    api.patch("zz-berth.dev", &PatchParams::default(), &Patch::Merge(annotations)).await.unwrap();
    complained(&stage, "default", "zz-", &["cannot", "patch", "mutatingwebhookconfigurations", "forbidden"]).await;
    give_back(&everywhere, rules).await;
    stage.mended("publishing", Duration::from_secs(60)).await;
    traffic.end("rights").await.none_failed();
}

/// An Event and a line of the log have all `words`.
async fn complained(stage: &Stage, namespace: &str, name: &str, words: &[&str]) {
    let event = stage.said(namespace, name, "CertificateTrouble", words).await.unwrap();
    assert_eq!(event["type"], "Warning");
    let log = stage.controller.as_ref().unwrap().log();
    let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
    assert!(line.is_some(), "no line of the log has {words:?}");
}

/// Takes a right away; the rules as they were.
async fn without<R>(api: &Api<R>, resource: &str, verb: &str) -> Value
where
    R: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let role = serde_json::to_value(api.get("berth-controller").await.unwrap()).unwrap();
    let mut rules = role["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        if rule["resources"].as_array().unwrap().iter().any(|one| one == resource) {
            rule["verbs"].as_array_mut().unwrap().retain(|one| one != verb);
        }
    }
    rules.as_array_mut().unwrap().retain(|rule| rule["verbs"] != json!([]));
    give_back(api, rules).await;
    role["rules"].clone()
}

async fn give_back<R>(api: &Api<R>, rules: Value)
where
    R: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(json!({ "rules": rules }));
    api.patch("berth-controller", &PatchParams::default(), &patch).await.unwrap();
}

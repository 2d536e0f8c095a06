//! What `berth controller` does besides opening gates, and that two of them, a dead one and a new one are harmless: on a
//! real API server, with the real webhook, scheduler and controllers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]
#![allow(clippy::print_stdout, reason = "how long it took is worth knowing")]

mod all;
mod bound;
mod hour;
mod said;
mod stuck;
mod two;
mod uninstall;

use std::time::Duration;

use anyhow::ensure;
use berth_tests::{
    berth::{self, Controller, Webhook},
    cluster::{Cluster, Node},
    wait::until,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The cluster that most tests share, with a webhook and a controller.
async fn guarded() -> (&'static Cluster, &'static Controller) {
    static GUARDED: OnceCell<(Webhook, Controller)> = OnceCell::const_new();
    let cluster = Cluster::shared().await.unwrap();
    let start = async || {
        cluster.add(&Node::new("first").image(&[OTHER])).await?;
        let controller = Controller::start(cluster, CONFIGURATION).await?;
        let webhook = Webhook::start(cluster, &berth::Options::new(CONFIGURATION)).await?;
        let probe = never("berth-probe", "probe", "probe:dev", &json!({}));
        until("Berth knows the node and the controller", LIMIT, async || {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let pods = cluster.pods("berth-probe").await?;
            let pod = serde_json::to_value(pods.create(&dry, &serde_json::from_value(probe.clone())?).await?)?;
            ensure!(is_gated(&pod), "{pod}");
            Ok(())
        })
        .await?;
        anyhow::Ok((webhook, controller))
    };
    let (_, controller) = GUARDED.get_or_try_init(start).await.unwrap();
    (cluster, controller)
}

/// All Pods of `namespace`.
async fn pods(cluster: &Cluster, namespace: &str) -> anyhow::Result<Vec<Value>> {
    let pods = cluster.pods(namespace).await?.list(&ListParams::default()).await?;
    Ok(pods.items.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}

/// Berth's Events in `namespace` on objects of this kind, with this reason.
async fn events(cluster: &Cluster, namespace: &str, kind: &str, reason: &str) -> anyhow::Result<Vec<Value>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
    let api = Api::<DynamicObject>::namespaced_with(cluster.client().await?, namespace, &resource);
    let all = api.list(&ListParams::default()).await?.items.into_iter().map(|event| event.data);
    let ours = all.filter(|event| event["reportingController"] == "berth.dev/controller" && event["reason"] == reason);
    Ok(ours.filter(|event| event["regarding"]["kind"] == kind).collect())
}

/// Waits for an Event on the object `name` that says `words`.
async fn said(cluster: &Cluster, namespace: &str, about: (&str, &str), reason: &str, words: &str) -> Value {
    let (kind, name) = about;
    until(&format!("{reason} is said of {kind} {namespace}/{name}"), LIMIT, async || {
        let events = events(cluster, namespace, kind, reason).await?;
        let said = events.iter().filter(|event| event["regarding"]["name"] == name);
        let mut said = said.filter(|event| event["note"].as_str().is_some_and(|note| note.contains(words)));
        said.next().cloned().ok_or_else(|| anyhow::anyhow!("{words} is not in {events:?}"))
    })
    .await
    .unwrap()
}

/// A Deployment of Pods that are never pulled, with `more` in their spec.
fn deployment(namespace: &str, name: &str, image: &str, replicas: u32, more: &Value) -> Value {
    let mut template = never(namespace, name, image, more);
    template["metadata"] = json!({ "labels": { "app": name } });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": template["metadata"], "spec": template["spec"] },
        },
    })
}

/// A Pod that is never pulled, with `more` in its spec.
fn never(namespace: &str, name: &str, image: &str, more: &Value) -> Value {
    let mut spec = more.clone();
    spec["containers"] = json!([{ "name": "main", "image": image, "imagePullPolicy": "Never" }]);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

/// A Pod as the webhook leaves it where no node has its image.
fn gated(namespace: &str, name: &str, image: &str) -> Value {
    let mut pod = never(namespace, name, image, &json!({ "schedulingGates": [{ "name": GATE }] }));
    pod["metadata"]["labels"] = json!({ "berth.dev/gated": "true", "berth.dev/attention": "waiting" });
    pod["metadata"]["annotations"] =
        json!({ "berth.dev/notes": format!("main: waits, since no node has {image}: load it") });
    pod
}

fn is_gated(pod: &Value) -> bool {
    pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| gates.iter().any(|gate| gate["name"] == GATE))
}

/// What each requirement on the hostname allows, in all terms.
fn hostnames(pod: &Value) -> Vec<Value> {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"];
    let expressions = terms.as_array().into_iter().flatten().filter_map(|term| term["matchExpressions"].as_array());
    let ours = expressions.flatten().filter(|one| one["key"] == "kubernetes.io/hostname");
    ours.map(|one| one["values"].clone()).collect()
}

const GATE: &str = "berth.dev/image-on-node";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const CONFIGURATION: &str =
    "apiVersion: berth.dev/v1alpha1\nkind: Configuration\nplace: {stuckAfter: 5s, stuck: delete}\n";
/// What every node lists: an empty list would mean that nothing is known of it.
const OTHER: &str = "docker.io/library/other:dev";
const LIMIT: Duration = Duration::from_secs(60);

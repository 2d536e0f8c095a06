//! A controller that was away for an hour: whatever happened meanwhile, the next one finds out.

use anyhow::ensure;
use berth_tests::{
    berth::Controller,
    cluster::{self, Cluster, Node},
    wait::until,
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{LIMIT, OTHER, REQUIRED, gated, hostnames, is_gated, pods, said};

const CONFIGURATION: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";

#[tokio::test]
async fn after_an_hour_without_a_controller_nobody_stays_behind_and_nobody_goes_astray() {
    let options = cluster::Options { only_api_server: true, ..cluster::Options::default() };
    let cluster = Cluster::start_with(&options).await.unwrap();
    cluster.namespace("hour", &[]).await.unwrap();
    for node in ["hour-a", "hour-b"] {
        cluster.add(&Node::new(node).label("disk", "ssd").image(&[OTHER])).await.unwrap();
    }
    let names = ["came", "went", "never", "lost", "narrowed", "opened", "deleted", "finishing"];
    let client = cluster.pods("hour").await.unwrap();
    for name in names {
        let image = if matches!(name, "went" | "never") { format!("{name}:dev") } else { "came:dev".to_owned() };
        let pod = gated("hour", name, &image);
        client.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    let first = Controller::start(&cluster, CONFIGURATION).await.unwrap();
    said(&cluster, "hour", ("Pod", "never"), "WaitingForImage", "no node has never:dev").await;
    drop(first);

    // An hour in which the lists changed twice, and people changed Pods.
    let (came, went) = ("docker.io/library/came:dev", "docker.io/library/went:dev");
    cluster.set_images("hour-b", &[&[OTHER], &[went]]).await.unwrap();
    cluster.set_images("hour-b", &[&[OTHER], &[came]]).await.unwrap();
    meddle(&cluster).await;
    let lease = ["patch", "lease", "berth-controller", "-n", "berth-system", "--type=merge", "-p"];
    let long_ago = r#"{"spec":{"renewTime":"2026-11-21T00:00:00.000000Z"}}"#;
    let patched = cluster.kubectl(&[&lease[..], &[long_ago]].concat(), "").await.unwrap();
    assert!(patched.status.success(), "{patched:?}");

    let _second = Controller::start(&cluster, CONFIGURATION).await.unwrap();
    let pods = until("all that can go have gone", LIMIT, async || {
        let pods = pods(&cluster, "hour").await?;
        let waiting: Vec<_> = pods.iter().filter(|pod| is_gated(pod)).map(|pod| &pod["metadata"]["name"]).collect();
        ensure!(waiting == ["finishing", "never", "went"], "{waiting:?} wait");
        Ok(pods)
    });
    for pod in pods.await.unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let goes: &[Value] = match name {
            "finishing" | "never" | "went" | "opened" => &[],
            _ => &[json!(["hour-b"])],
        };
        assert_eq!(hostnames(&pod), goes, "{name}");
        let watched = pod["metadata"]["labels"]["berth.dev/gated"] == "true";
        assert_eq!(watched, is_gated(&pod) || name == "opened", "{name}: the label goes with the gate");
    }
}

/// What people and other controllers do to Pods that wait.
async fn meddle(cluster: &Cluster) {
    let pods = cluster.pods("hour").await.unwrap();
    let patch = async |name: &str, patch: Value| {
        pods.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    patch("lost", json!({ "metadata": { "labels": { "berth.dev/gated": null } } })).await;
    let ssd = json!({ "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["ssd"] }] });
    let affinity = json!({ "nodeAffinity": { REQUIRED: { "nodeSelectorTerms": [ssd] } } });
    patch("narrowed", json!({ "spec": { "affinity": affinity } })).await;
    patch("opened", json!({ "spec": { "schedulingGates": null } })).await;
    pods.delete("deleted", &DeleteParams::default()).await.unwrap();
    patch("finishing", json!({ "metadata": { "finalizers": ["example.com/mine"] } })).await;
    pods.delete("finishing", &DeleteParams::default()).await.unwrap();
}

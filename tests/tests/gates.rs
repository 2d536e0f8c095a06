//! Pods that wait for an image, on a real API server: the webhook gates them, two controllers open the gates.

use std::time::{Duration, Instant};

use anyhow::ensure;
use berth_tests::{
    berth::{Controller, Options, Webhook, opted_in},
    cluster::{Cluster, Node},
    wait::until,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

#[tokio::test]
async fn pods_of_all_shapes_go_where_the_image_comes_to() {
    let cluster = Cluster::shared().await.unwrap();
    for name in ["gates-a", "gates-b"] {
        cluster.add(&Node::new(name).label("disk", "ssd").image(&SANDBOX)).await.unwrap();
    }
    let _controllers =
        [Controller::start(cluster, SETTINGS).await.unwrap(), Controller::start(cluster, SETTINGS).await.unwrap()];
    let _webhook = Webhook::start(cluster, &Options::new(SETTINGS)).await.unwrap();
    cluster.namespace("gates", &opted_in(None)).await.unwrap();
    let pods = cluster.pods("gates").await.unwrap();

    for (name, spec) in shapes() {
        let gated = create(&pods, name, &spec).await.unwrap();
        assert_eq!(gates(&gated), ["berth.dev/image-on-node"], "{name}");
        assert_eq!(gated.labels()["berth.dev/gated"], "true", "{name}");
    }
    one_that_gets_another_image_goes(&pods).await.unwrap();
    cluster.set_images("gates-b", &[&SANDBOX, &["docker.io/library/gates:dev"]]).await.unwrap();
    let reported = Instant::now();
    for (name, _) in shapes() {
        let what = format!("the gate of {name} is open");
        let open = until(&what, LIMIT, async || {
            let pod = pods.get(name).await?;
            ensure!(gates(&pod).is_empty(), "it has {:?}", gates(&pod));
            Ok(pod)
        });
        let pod = open.await.unwrap();
        assert!(!pod.labels().contains_key("berth.dev/gated"), "{name} is still watched");
    }
    println!("all gates open {:?} after the node's report", reported.elapsed());
    for (name, _) in shapes() {
        assert_eq!(cluster.node_of("gates", name).await.unwrap(), "gates-b", "{name}");
    }
}

/// A gated Pod may be edited so, and a registry may have the other image.
async fn one_that_gets_another_image_goes(pods: &Api<Pod>) -> anyhow::Result<()> {
    let containers = json!([{ "name": "main", "image": "local/edited:dev", "imagePullPolicy": "IfNotPresent" }]);
    let gated = create(pods, "edited", &json!({ "containers": containers })).await?;
    ensure!(gates(&gated) == ["berth.dev/image-on-node"], "{gated:?}");
    let edit = Patch::Strategic(json!({ "spec": { "containers": [{ "name": "main", "image": "nginx:1.27" }] } }));
    pods.patch("edited", &PatchParams::default(), &edit).await?;
    let open = until("the gate of an edited Pod is open", LIMIT, async || {
        let pod = pods.get("edited").await?;
        ensure!(gates(&pod).is_empty(), "it has {:?}", gates(&pod));
        Ok(pod)
    });
    ensure!(open.await?.spec.is_some_and(|spec| spec.affinity.is_none()), "it is held to a node");
    Ok(())
}

/// Specs that differ in what the patch has to merge with.
fn shapes() -> Vec<(&'static str, Value)> {
    let ssd = json!({ "key": "disk", "operator": "Exists" });
    let field = json!({ "key": "metadata.name", "operator": "NotIn", "values": ["gates-c"] });
    let required = |terms: Value| {
        json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
        } } })
    };
    let preferred = json!([{ "weight": 1, "preference": { "matchExpressions": [ssd] } }]);
    vec![
        ("plain", json!({})),
        ("empty", json!({ "affinity": {} })),
        ("selector", json!({ "nodeSelector": { "disk": "ssd" } })),
        ("terms", required(json!([{ "matchExpressions": [ssd] }, { "matchExpressions": [ssd, ssd] }]))),
        ("fields", required(json!([{ "matchFields": [field] }, {}]))),
        (
            "preferred",
            json!({ "affinity": { "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        } } }),
        ),
    ]
}

async fn create(pods: &Api<Pod>, name: &str, spec: &Value) -> anyhow::Result<Pod> {
    let mut full = json!({ "containers": [{ "name": "main", "image": "gates:dev", "imagePullPolicy": "Never" }] });
    json_patch::merge(&mut full, spec);
    let pod = json!({ "metadata": { "name": name }, "spec": full });
    Ok(pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?)
}

fn gates(pod: &Pod) -> Vec<&str> {
    let gates = pod.spec.iter().flat_map(|spec| spec.scheduling_gates.iter().flatten());
    gates.map(|gate| gate.name.as_str()).collect()
}

const SETTINGS: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\nplace: {local: [local/*]}\n";
/// What every node has: without any image its list would not have come yet.
const SANDBOX: [&str; 1] = ["registry.k8s.io/pause:3.10"];
const LIMIT: Duration = Duration::from_secs(30);

//! Pods that wait for a node with their image: the real webhook adds the gate, the real controller lifts it, the real
//! scheduler binds the Pod.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]

use std::time::Duration;

use anyhow::ensure;
use berth_tests::{
    berth::{self, Controller, Webhook, opted_in},
    cluster::{self, Cluster, Node},
    wait::until,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

#[tokio::test]
async fn a_pod_waits_until_a_node_has_its_image_and_is_bound_there() {
    let cluster = guarded().await;
    for node in ["late-a", "late-b"] {
        cluster.add(&Node::new(node).image(&[OTHER])).await.unwrap();
    }
    cluster.namespace("late", &opted_in(None)).await.unwrap();
    let said = cluster.apply(&never("late", "web", "late:dev", &json!({})).to_string()).await.unwrap();
    assert!(said.contains("Warning: berth: main: waits, since no node has late:dev"), "{said}");
    let pods = cluster.pods("late").await.unwrap();
    let waiting = value(pods.get("web").await.unwrap());
    assert_eq!(waiting["spec"]["schedulingGates"], json!([{"name": GATE}]));
    assert_eq!(waiting["metadata"]["labels"]["berth.dev/gated"], "true");
    let shown = cluster.kubectl(&["get", "pod", "web", "-n", "late"], "").await.unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("SchedulingGated"), "{shown:?}");

    cluster.set_images("late-b", &[&[OTHER], &["docker.io/library/late:dev"]]).await.unwrap();
    let lifted = lifted(&pods, "web").await;
    assert_eq!(hostnames(&lifted), [json!(["late-b"])]);
    assert_eq!(cluster.node_of("late", "web").await.unwrap(), "late-b");
}

#[tokio::test]
async fn what_a_pod_asked_for_itself_still_holds_when_its_gate_is_lifted() {
    let cluster = guarded().await;
    for (node, zone) in [("own-a", "a"), ("own-b", "b"), ("own-c", "c")] {
        cluster.add(&Node::new(node).label("zone", zone).image(&[OTHER])).await.unwrap();
    }
    cluster.namespace("own", &opted_in(None)).await.unwrap();
    let zone = |zone: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]});
    let terms = json!({REQUIRED: {"nodeSelectorTerms": [zone("b"), zone("c")]}});
    let more = json!({"affinity": {"nodeAffinity": terms}, "schedulingGates": [{"name": "example.com/other"}]});
    cluster.apply(&never("own", "web", "own:dev", &more).to_string()).await.unwrap();
    let pods = cluster.pods("own").await.unwrap();
    assert!(is_gated(&value(pods.get("web").await.unwrap())));

    // A node that the Pod does not want is of no use to it.
    cluster.set_images("own-a", &[&[OTHER], &["docker.io/library/own:dev"]]).await.unwrap();
    // Whoever waits for the same image without such wishes goes, and shows that this news has arrived.
    cluster.apply(&never("own", "any", "own:dev", &json!({})).to_string()).await.unwrap();
    lifted(&pods, "any").await;
    assert!(is_gated(&value(pods.get("web").await.unwrap())));

    cluster.set_images("own-b", &[&[OTHER], &["docker.io/library/own:dev"]]).await.unwrap();
    let lifted = lifted(&pods, "web").await;
    assert_eq!(lifted["spec"]["schedulingGates"], json!([{"name": "example.com/other"}]), "that one is another's");
    let after = &lifted["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"];
    for (place, zone) in [zone("b"), zone("c")].iter().enumerate() {
        assert_eq!(after[place]["matchExpressions"][0], zone["matchExpressions"][0]);
    }
    assert_eq!(hostnames(&lifted), [json!(["own-b"]), json!(["own-b"])], "in each term");
}

#[tokio::test]
async fn two_controllers_at_once_lift_each_gate_once() {
    let cluster = guarded().await;
    let second = Controller::start(cluster, CONFIGURATION).await.unwrap();
    cluster.add(&Node::new("both").image(&[OTHER])).await.unwrap();
    cluster.namespace("both", &opted_in(None)).await.unwrap();
    let containers = json!([{"name": "main", "image": "both:dev", "imagePullPolicy": "Never"}]);
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "both"},
        "spec": {
            "replicas": 12,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}},
        },
    });
    cluster.apply(&deployment.to_string()).await.unwrap();
    let pods = cluster.pods("both").await.unwrap();
    let list = async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        anyhow::Ok(pods.into_iter().map(value).collect::<Vec<_>>())
    };
    until("twelve Pods wait", LIMIT, async || {
        let pods = list().await?;
        ensure!(pods.len() == 12 && pods.iter().all(is_gated), "there are {}", pods.len());
        Ok(())
    })
    .await
    .unwrap();

    cluster.set_images("both", &[&[OTHER], &["docker.io/library/both:dev"]]).await.unwrap();
    let bound = until("twelve Pods are bound", LIMIT, async || {
        let pods = list().await?;
        let bound = pods.iter().filter(|pod| pod["spec"]["nodeName"] == "both").count();
        ensure!(bound == 12, "{bound} of {} are", pods.len());
        Ok(pods)
    });
    for pod in bound.await.unwrap() {
        assert!(!is_gated(&pod));
        assert_eq!(hostnames(&pod), [json!(["both"])], "one requirement, not two");
    }
    let drift = cluster.kubectl(&["diff", "-f", "-"], &deployment.to_string()).await.unwrap();
    assert!(drift.status.success(), "{}", String::from_utf8_lossy(&drift.stdout));
    drop(second);
}

#[tokio::test]
async fn no_pod_waits_without_a_controller_and_a_new_one_finds_those_that_do() {
    let options = cluster::Options { only_api_server: true, ..cluster::Options::default() };
    let cluster = Cluster::start_with(&options).await.unwrap();
    let _webhook = Webhook::start(&cluster, &berth::Options::new(CONFIGURATION)).await.unwrap();
    for node in ["node", "empty"] {
        cluster.add(&Node::new(node).image(&[OTHER])).await.unwrap();
    }
    cluster.namespace("alone", &opted_in(None)).await.unwrap();
    let pods = cluster.pods("alone").await.unwrap();
    let try_it = async || {
        let pod = serde_json::from_value(never("alone", "try", "alone:dev", &json!({})))?;
        anyhow::Ok(value(pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await?))
    };
    let admitted = until("the node is known", LIMIT, async || {
        let pod = try_it().await?;
        ensure!(pod.to_string().contains("no node has alone:dev"), "{pod}");
        Ok(pod)
    });
    let admitted = admitted.await.unwrap();
    assert!(!is_gated(&admitted));
    assert!(admitted.to_string().contains("nor can it wait without berth controller"), "{admitted}");

    let first = Controller::start(&cluster, CONFIGURATION).await.unwrap();
    until("the controller is seen", LIMIT, async || {
        let pod = try_it().await?;
        ensure!(is_gated(&pod), "{pod}");
        Ok(())
    })
    .await
    .unwrap();
    cluster.apply(&never("alone", "web", "alone:dev", &json!({})).to_string()).await.unwrap();
    drop(first);
    let gone = ["delete", "lease", "berth-controller", "-n", "berth-system"];
    assert!(cluster.kubectl(&gone, "").await.unwrap().status.success());
    until("its end is seen", LIMIT, async || {
        let pod = try_it().await?;
        ensure!(!is_gated(&pod), "{pod}");
        Ok(())
    })
    .await
    .unwrap();

    cluster.set_images("node", &[&[OTHER], &["docker.io/library/alone:dev"]]).await.unwrap();
    assert!(is_gated(&value(pods.get("web").await.unwrap())));
    let _second = Controller::start(&cluster, CONFIGURATION).await.unwrap();
    assert_eq!(hostnames(&lifted(&pods, "web").await), [json!(["node"])]);
}

/// The cluster that the tests share, with a webhook and a controller.
async fn guarded() -> &'static Cluster {
    static GUARDED: OnceCell<(Webhook, Controller)> = OnceCell::const_new();
    let cluster = Cluster::shared().await.unwrap();
    let start = async || {
        let controller = Controller::start(cluster, CONFIGURATION).await?;
        let webhook = Webhook::start(cluster, &berth::Options::new(CONFIGURATION)).await?;
        let pods = cluster.pods("berth-probe").await?;
        cluster.add(&Node::new("first").image(&[OTHER])).await?;
        let probe = serde_json::from_value(never("berth-probe", "probe", "probe:dev", &json!({})))?;
        until("Berth knows the node and the controller", LIMIT, async || {
            let pod = value(pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &probe).await?);
            ensure!(is_gated(&pod), "{pod}");
            Ok(())
        })
        .await?;
        anyhow::Ok((webhook, controller))
    };
    GUARDED.get_or_try_init(start).await.unwrap();
    cluster
}

/// The Pod, once Berth's gate is off it.
async fn lifted(pods: &Api<Pod>, name: &str) -> Value {
    until(&format!("the gate of {name} is lifted"), LIFTED_LIMIT, async || {
        let pod = value(pods.get(name).await?);
        ensure!(!is_gated(&pod), "{pod}");
        Ok(pod)
    })
    .await
    .unwrap()
}

/// A Pod that is never pulled, with `more` in its spec.
fn never(namespace: &str, name: &str, image: &str, more: &Value) -> Value {
    let mut spec = more.clone();
    spec["containers"] = json!([{"name": "main", "image": image, "imagePullPolicy": "Never"}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn value(pod: Pod) -> Value {
    serde_json::to_value(pod).unwrap()
}

fn is_gated(pod: &Value) -> bool {
    pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| gates.iter().any(|gate| gate["name"] == GATE))
}

/// What each requirement on the hostname allows, in all terms.
fn hostnames(pod: &Value) -> Vec<Value> {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"];
    let terms = terms.as_array().unwrap_or_else(|| panic!("no required affinity: {pod}"));
    let expressions = terms.iter().filter_map(|term| term["matchExpressions"].as_array()).flatten();
    expressions.filter(|one| one["key"] == "kubernetes.io/hostname").map(|one| one["values"].clone()).collect()
}

const GATE: &str = "berth.dev/image-on-node";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const CONFIGURATION: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";
/// What every node lists: an empty list would mean that nothing is known of it.
const OTHER: &str = "docker.io/library/other:dev";
/// The controller takes a small part of a second; a loaded machine may take more.
const LIFTED_LIMIT: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);

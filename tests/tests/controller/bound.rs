//! Pods whose node is decided already: a note where their node lacks the image, and nothing else.

use anyhow::ensure;
use berth_tests::{
    berth::opted_in,
    cluster::{Cluster, Node},
    wait::until,
};
use serde_json::{Value, json};

use super::{LIMIT, OTHER, REQUIRED, guarded, is_gated, never, pods, said};

#[tokio::test]
async fn a_daemon_set_stays_able_to_run_everywhere_else() {
    let (cluster, _) = guarded().await;
    let node = |name| Node::new(name).label("pool", "daemons").image(&[OTHER]);
    cluster.add(&node("daemon-a").image(&["docker.io/library/agent:dev"])).await.unwrap();
    for name in ["daemon-b", "daemon-c"] {
        cluster.add(&node(name)).await.unwrap();
    }
    cluster.namespace("daemons", &opted_in(None)).await.unwrap();
    let template = never("daemons", "agent", "agent:dev", &json!({ "nodeSelector": { "pool": "daemons" } }));
    let daemons = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "agent", "namespace": "daemons" },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "template": { "metadata": { "labels": { "app": "agent" } }, "spec": template["spec"] },
        },
    });
    cluster.apply(&daemons.to_string()).await.unwrap();
    check_daemons(cluster, &["daemon-a", "daemon-b", "daemon-c"]).await;
    cluster.add(&node("daemon-d")).await.unwrap();
    check_daemons(cluster, &["daemon-a", "daemon-b", "daemon-c", "daemon-d"]).await;
    let hint = "lacks agent:dev";
    let event = said(cluster, "daemons", ("DaemonSet", "agent"), "ImageNotes", hint).await;
    assert_eq!(event["type"], "Warning");
}

/// There is one Pod for each of `nodes`, bound there, as the controller of `DaemonSets` made it.
async fn check_daemons(cluster: &Cluster, nodes: &[&str]) {
    let daemons = until("each node has its Pod", LIMIT, async || {
        let mut pods = pods(cluster, "daemons").await?;
        pods.sort_by_key(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned));
        let bound: Vec<_> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
        ensure!(bound == nodes && pods.len() == nodes.len(), "bound are {bound:?} of {}", pods.len());
        Ok(pods)
    });
    for pod in daemons.await.unwrap() {
        let node = pod["spec"]["nodeName"].as_str().unwrap();
        let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
        let own = json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] });
        assert_eq!(pod["spec"]["affinity"], json!({ "nodeAffinity": { REQUIRED: own } }), "nothing is added");
        check_note(&pod, node != "daemon-a", &format!("main: {node}, its node, lacks agent:dev: "));
    }
}

fn check_note(pod: &Value, lacks: bool, words: &str) {
    assert!(!is_gated(pod) && pod["metadata"]["labels"]["berth.dev/placed"] != "true", "{pod}");
    let notes = pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap_or_default();
    assert_eq!(notes.starts_with(words) && !notes.is_empty(), lacks, "{notes}");
    assert_eq!(pod["metadata"]["labels"]["berth.dev/attention"] == "true", lacks);
}

#[tokio::test]
async fn a_pod_that_names_its_node_keeps_it() {
    let (cluster, _) = guarded().await;
    cluster.add(&Node::new("named-a").image(&[OTHER]).image(&["docker.io/library/named:dev"])).await.unwrap();
    cluster.add(&Node::new("named-b").image(&[OTHER])).await.unwrap();
    cluster.namespace("named", &opted_in(None)).await.unwrap();
    for (name, node) in [("has", "named-a"), ("lacks", "named-b")] {
        let pod = never("named", name, "named:dev", &json!({ "nodeName": node }));
        cluster.apply(&pod.to_string()).await.unwrap();
    }
    for pod in pods(cluster, "named").await.unwrap() {
        let lacks = pod["metadata"]["name"] == "lacks";
        assert_eq!(pod["spec"]["nodeName"], if lacks { "named-b" } else { "named-a" });
        assert_eq!(pod["spec"]["affinity"], Value::Null);
        check_note(&pod, lacks, "main: named-b, its node, lacks named:dev: ");
    }
    said(cluster, "named", ("Pod", "lacks"), "ImageNotes", "named-b, its node, lacks named:dev").await;
}

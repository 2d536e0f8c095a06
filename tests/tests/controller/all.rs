//! `berth controller --lift-all`: the way out, without a configuration, a webhook or a controller.

use berth_tests::{
    berth::{Controller, lift_all},
    cluster::{self, Cluster},
};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{gated, pods};

#[tokio::test]
async fn every_gate_is_opened_and_named_and_other_gates_stay() {
    let options = cluster::Options { only_api_server: true, ..cluster::Options::default() };
    let cluster = Cluster::start_with(&options).await.unwrap();
    // Its rights come with the installation; nothing of it runs.
    drop(Controller::start(&cluster, "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n").await.unwrap());
    for namespace in ["all-a", "all-b"] {
        cluster.namespace(namespace, &[]).await.unwrap();
    }
    let create = async |pod: Value| {
        let pods = cluster.pods(pod["metadata"]["namespace"].as_str().unwrap()).await.unwrap();
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    };
    for number in 0..130 {
        create(gated("all-a", &format!("web-{number:03}"), "app:dev")).await;
    }
    let mut other = gated("all-b", "other", "app:dev");
    other["spec"]["schedulingGates"] = json!([{ "name": "example.com/other" }, { "name": super::GATE }]);
    other["metadata"]["labels"] = json!({ "app": "other" });
    create(other).await;
    let mut opened_by_hand = gated("all-b", "stale", "app:dev");
    opened_by_hand["spec"]["schedulingGates"] = Value::Null;
    create(opened_by_hand).await;

    let output = lift_all(&cluster).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("all-a/web-000: opened\nall-a/web-001: opened\n"), "{said}");
    assert!(said.ends_with("all-a/web-129: opened\nall-b/other: opened\n131 gates were opened\n"), "{said}");
    for pod in pods(&cluster, "all-a").await.unwrap() {
        assert_eq!(pod["spec"]["schedulingGates"], Value::Null, "{pod}");
        assert_eq!(pod["spec"]["affinity"], Value::Null, "nothing is known of nodes");
        assert_eq!(pod["metadata"]["labels"], Value::Null);
        assert!(pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap().starts_with("waited until `berth"));
    }
    let others = pods(&cluster, "all-b").await.unwrap();
    assert_eq!(others[0]["spec"]["schedulingGates"], json!([{ "name": "example.com/other" }]));
    assert_eq!(others[0]["metadata"]["labels"], json!({ "app": "other" }));
    assert_eq!(others[1]["metadata"]["labels"], json!({ "berth.dev/attention": "waiting" }), "it is not gated");

    let output = lift_all(&cluster).await.unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), b"no gate was opened\n".as_slice()));
    a_gate_that_cannot_be_opened_is_named(&cluster).await;

    let unreachable = berth_tests::berth::lift_all_at(&cluster, "https://127.0.0.1:1").await.unwrap();
    assert_eq!(unreachable.status.code(), Some(69), "{unreachable:?}");
    assert!(String::from_utf8_lossy(&unreachable.stderr).contains("the Pods cannot be listed"), "{unreachable:?}");
}

/// A policy of the cluster forbids it.
async fn a_gate_that_cannot_be_opened_is_named(cluster: &Cluster) {
    cluster.namespace("all-c", &[]).await.unwrap();
    let pods = cluster.pods("all-c").await.unwrap();
    for name in ["held", "free"] {
        let pod = serde_json::from_value(gated("all-c", name, "app:dev")).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
    }
    let rules = json!([{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"] }]);
    let validation = json!({ "expression": "object.metadata.name != 'held'", "message": "held" });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "held" },
        "spec": { "matchConstraints": { "resourceRules": rules }, "validations": [validation] },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "held" },
        "spec": { "policyName": "held", "validationActions": ["Deny"] },
    });
    cluster
        .apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [policy, binding] }).to_string())
        .await
        .unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    berth_tests::wait::until("the policy is in force", super::LIMIT, async || {
        let edit = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        anyhow::ensure!(pods.patch("held", &dry, &edit).await.is_err());
        Ok(())
    })
    .await
    .unwrap();
    let output = lift_all(cluster).await.unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("all-c/free: opened\nall-c/held: ") && said.ends_with("\n1 gate was opened\n"), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 gate is still closed"), "{output:?}");
}

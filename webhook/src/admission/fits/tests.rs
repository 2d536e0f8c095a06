use serde_json::{Value, json};

use super::*;
use crate::nodes::{Index, Now};

/// A ready node with 4 CPU; `change` is merged into it.
fn node(change: &Value) -> Value {
    let mut node = json!({
        "metadata": { "name": "worker", "labels": { "kubernetes.io/hostname": "worker", "kubernetes.io/arch": "amd64" } },
        "spec": {},
        "status": { "conditions": [{ "type": "Ready", "status": "True" }], "allocatable": { "cpu": "4" } },
    });
    json_patch::merge(&mut node, change);
    node
}

/// What `Needs` say of a Pod with `spec` on the node that `change` makes, in words; empty where it fits.
#[track_caller]
fn check(spec: &Value, change: &Value, want: &str) {
    let text = json!({ "spec": spec }).to_string();
    let pod: Pod = serde_json::from_str(&text).unwrap();
    let nodes = [serde_json::from_value(node(change)).unwrap()];
    let index = Index::from_nodes(nodes, 50, Now::read());
    let needs = Needs::of(&pod).unwrap();
    let got = match needs.fit(index.get("worker").unwrap()) {
        Fit::Now => String::new(),
        Fit::NotNow(obstacle) => format!("now: {obstacle}"),
        Fit::Never(obstacle) => format!("ever: {obstacle}"),
    };
    assert_eq!(got, want, "Pod {spec} on {change}");
}

fn taint(key: &str, effect: &str) -> Value {
    json!({ "spec": { "taints": [{ "key": key, "effect": effect }] } })
}

#[test]
fn what_the_user_wrote_lasts() {
    check(&json!({}), &json!({}), "");
    check(&json!({ "nodeSelector": null, "affinity": null, "tolerations": null }), &json!({}), "");
    check(&json!({ "nodeSelector": { "kubernetes.io/arch": "amd64" } }), &json!({}), "");
    check(
        &json!({ "nodeSelector": { "kubernetes.io/arch": "arm64" } }),
        &json!({}),
        "ever: does not match the Pod's nodeSelector",
    );
    let terms = json!([{ "matchExpressions": [{ "key": "gpu", "operator": "Exists" }] }]);
    let affinity = json!({ "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
    } } });
    check(&affinity, &json!({}), "ever: does not match the Pod's affinity");
    check(&affinity, &json!({ "metadata": { "labels": { "gpu": "" } } }), "");
}

#[test]
fn taints_of_people_last_and_those_of_conditions_pass() {
    check(&json!({}), &taint("team", "NoSchedule"), "ever: has the taint team");
    check(&json!({}), &taint("team", "NoExecute"), "ever: has the taint team");
    check(&json!({}), &taint("team", "PreferNoSchedule"), "");
    check(&json!({ "tolerations": [{ "key": "team", "operator": "Exists" }] }), &taint("team", "NoSchedule"), "");
    check(
        &json!({}),
        &taint("node.kubernetes.io/disk-pressure", "NoSchedule"),
        "now: has the taint node.kubernetes.io/disk-pressure",
    );
    check(&json!({ "tolerations": [{ "operator": "Exists" }] }), &taint("node.kubernetes.io/x", "NoExecute"), "");
}

#[test]
fn a_cordoned_node_is_a_taint_to_tolerate() {
    let cordoned = json!({ "spec": { "unschedulable": true } });
    check(&json!({}), &cordoned, "now: is cordoned");
    check(&json!({}), &taint("node.kubernetes.io/unschedulable", "NoSchedule"), "now: is cordoned");
    let tolerant = json!({ "tolerations": [{ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" }] });
    check(&tolerant, &cordoned, "");
}

#[test]
fn a_node_that_is_down_may_come_back() {
    let down = json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } });
    check(&json!({}), &down, "now: is not ready");
    check(&json!({}), &json!({ "metadata": { "deletionTimestamp": "2026-11-21T00:00:00Z" } }), "now: is being deleted");
}

#[test]
fn requests_above_what_the_node_has_last() {
    let asks = |cpu: &str| json!({ "containers": [{ "name": "a", "resources": { "requests": { "cpu": cpu } } }] });
    check(&asks("4"), &json!({}), "");
    check(&asks("4001m"), &json!({}), "ever: has too little cpu");
}

/// A `DeviceClass` may stand for a device that no list shows, and a plugin lists its devices a while after the node is up.
#[test]
fn a_device_that_is_not_listed_may_be_there() {
    let asks = |name: &str| json!({ "containers": [{ "name": "a", "resources": { "limits": { name: "2" } } }] });
    let lists = |amount: &str| json!({ "status": { "allocatable": { "nvidia.com/gpu": amount } } });
    check(&asks("nvidia.com/gpu"), &lists("2"), "");
    check(&asks("nvidia.com/gpu"), &lists("1"), "ever: has too little nvidia.com/gpu");
    check(&asks("nvidia.com/gpu"), &lists("0"), "now: lists no nvidia.com/gpu");
    check(&asks("nvidia.com/gpu"), &json!({}), "now: lists no nvidia.com/gpu");
    check(&asks("deviceclass.resource.kubernetes.io/gpu"), &json!({}), "");
}

#[test]
fn a_shape_that_is_not_the_api_s_is_an_error() {
    for spec in [json!({ "affinity": "x" }), json!({ "nodeSelector": "x" }), json!({ "tolerations": {} })] {
        let text = json!({ "spec": spec }).to_string();
        assert!(Needs::of(&serde_json::from_str(&text).unwrap()).is_err(), "{spec}");
    }
}

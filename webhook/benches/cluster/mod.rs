//! Nodes as an API server writes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A Node as an API server writes it, with the images from number `first` on.
pub(crate) fn node(node: u32, first: u32, images: u32) -> String {
    let name = format!("ip-10-0-{}-{}.eu-west-1.compute.internal", node / 250, node % 250);
    let mut labels: BTreeMap<String, String> =
        (0..16).map(|label| (format!("example.com/label-{label}"), format!("value-{}", node % (label + 1)))).collect();
    labels.insert("kubernetes.io/hostname".to_owned(), name.clone());
    let fields = json!({ "f:status": { "f:conditions": { "k:{\"type\":\"Ready\"}": { "f:lastHeartbeatTime": {} } } } });
    let manager = json!({ "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields });
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": name, "labels": labels,
            "uid": "9b5f0b1e-9a55-4d7c-8d84-5ee3cc1dbd6c", "resourceVersion": "1234567",
            "annotations": { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
            "managedFields": [manager, manager, manager],
        },
        "spec": { "podCIDR": "10.1.2.0/24", "providerID": format!("aws:///eu-west-1a/i-{node:017x}") },
        "status": {
            "allocatable": {
                "cpu": "3920m", "memory": "8039468Ki", "pods": "110", "ephemeral-storage": "18242267924",
                "hugepages-1Gi": "0", "hugepages-2Mi": "0",
            },
            "conditions": [condition("DiskPressure", "False"), condition("PIDPressure", "False"), condition("Ready", "True")],
            "images": (0..LISTED).map(|image| entry((first * 7 + image) % images)).collect::<Vec<_>>(),
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "kernelVersion": "6.12.0",
                "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3",
            },
        },
    })
    .to_string()
}

fn condition(kind: &str, status: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": "KubeletReady", "message": "kubelet is posting ready status",
        "lastHeartbeatTime": "2026-11-21T08:00:00Z", "lastTransitionTime": "2026-11-21T07:00:00Z",
    })
}

/// An entry with two names.
fn entry(image: u32) -> Value {
    let repository = format!("registry.example.com/team-{}/service-{image}", image % 17);
    json!({
        "names": [format!("{repository}@sha256:{image:064x}"), format!("{repository}:v1.{image}.0")],
        "sizeBytes": 1_000_000_000 - image,
    })
}

/// Images that a node lists.
pub(crate) const LISTED: u32 = 50;

//! What the index of the nodes costs: heap for each image of a node, instructions for an update.
//!
//! `cargo bench -p berth --bench index`; the instruction counts need valgrind.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod measure;

use std::{alloc::System, collections::BTreeMap, hint::black_box};

use berth::nodes::{Index, Node, Now};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    if let Some((mode, rounds)) = measure::asked() {
        return run(&mode, rounds);
    }
    for (nodes, images) in [(5_000, 1_000), (5_000, 100)] {
        let what = format!("heap for each image of a node, bytes: {nodes} nodes × {LISTED} of {images} images");
        measure::verdict(&what, heap(nodes, images) / f64::from(nodes * LISTED), 40.0);
    }
    let [Some(decoding), Some(updating)] = ["decode", "same"].map(|mode| measure::instructions(mode, 20, 120)) else {
        println!("updates: skipped, because valgrind is not installed");
        return;
    };
    measure::verdict("an update without other images: instructions ÷ decoding it", updating / decoding, 2.0);
}

/// Bytes that an index of so many nodes keeps, each with `LISTED` of so many `images`.
fn heap(nodes: u32, images: u32) -> f64 {
    let region = Region::new(ALLOCATOR);
    let index = Index::from_nodes((0..nodes).map(|node| decode(&text(node, node, images))), 1_000, Now::read());
    let change = region.change();
    drop(black_box(index));
    f64::from(u32::try_from(change.bytes_allocated - change.bytes_deallocated).unwrap())
}

/// Rounds for callgrind.
fn run(mode: &str, rounds: u32) {
    let update = text(7, 7, 1_000);
    let mut index = Index::from_nodes((0..50).map(|node| decode(&text(node, node, 1_000))), 1_000, Now::read());
    for _ in 0..rounds {
        match mode {
            "decode" => drop(black_box(decode(&update))),
            "same" => assert!(!index.apply(&decode(&update))),
            _ => unreachable!("{mode}"),
        }
    }
}

fn decode(text: &str) -> Node {
    serde_json::from_str(text).unwrap()
}

/// A Node as an API server writes it, with the images from number `first` on.
fn text(node: u32, first: u32, images: u32) -> String {
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
const LISTED: u32 = 50;

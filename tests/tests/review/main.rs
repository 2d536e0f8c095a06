//! Whole reviews, bytes in and bytes out, against a registry in memory and nodes from a list.
//!
//! Each patch is applied twice: by the library that Berth is written with, and by the one that the API server uses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]

mod admission;
mod mirroring;
mod outages;
mod placing;
mod policies;
mod properties;
mod repinning;
mod workloads;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth::{
    admission::{App, Caller, Mode},
    config,
    nodes::{Heartbeat, Index, Node, Nodes, Now},
    registry::{Fake, Keychain},
};
use berth_tests::oracle::Oracle;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Berth as `settings` configure it, in a cluster of two nodes, without anybody who would lift gates.
///
/// Both have pulled `nginx:1`; into `a` somebody has imported `petstore:dev`, into `b` `loaded:dev` and `found:dev`.
fn app(settings: &str) -> App<Fake> {
    let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{settings}");
    let (config, _) = config::parse(&text, "test").unwrap();
    App {
        nodes: Some(Arc::new(Nodes::fixed(nodes(config.place.list_limit)))),
        config: Arc::new(config),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: Fake::new(),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    }
}

/// The same with a controller that is alive, and will be for as long as the tests run.
fn app_with_controller(settings: &str) -> App<Fake> {
    App { controller: Some(Arc::new(Heartbeat::fixed(Instant::now() + Duration::from_secs(3600)))), ..app(settings) }
}

fn nodes(list_limit: usize) -> Index {
    let digest = format!("docker.io/library/nginx@sha256:{}", "0".repeat(64));
    let pulled = json!({"names": [digest, "docker.io/library/nginx:1"], "sizeBytes": 2});
    let nodes = [
        node("a", &json!([pulled, imported("docker.io/library/petstore:dev")])),
        node("b", &json!([pulled, imported("docker.io/library/loaded:dev"), imported("docker.io/library/found:dev")])),
    ];
    Index::from_nodes(nodes, list_limit, Now::read())
}

/// An entry of a node's list that came by an import.
fn imported(name: &str) -> Value {
    json!({"names": [name], "sizeBytes": 1})
}

/// A node whose list is `images`.
fn node(name: &str, images: &Value) -> Node {
    let node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "images": images,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "containerRuntimeVersion": "containerd://2.1.4",
                "kubeletVersion": "v1.36.3",
                "architecture": "amd64",
            },
        },
    });
    serde_json::from_value(node).unwrap()
}

/// A Pod as its maker writes it.
fn pod(containers: &Value) -> Value {
    json!({"metadata": {"generateName": "web-"}, "spec": {"containers": containers}})
}

/// A Pod of one container.
fn pod_of(image: &str, policy: &str) -> Value {
    pod(&json!([{"name": "c", "image": image, "imagePullPolicy": policy}]))
}

/// The review of the creation of `object`.
fn review_of(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": object,
        },
    })
}

/// Berth's response to `review`, which must be one that API servers accept.
async fn ask(app: &App<Fake>, mode: Mode, review: &Value) -> Value {
    let deadline = Instant::now() + Duration::from_secs(5);
    let body = app.review(mode, Caller::Anyone, review.to_string().as_bytes(), deadline).await.unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&answer["apiVersion"], &answer["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    let response = &answer["response"];
    assert_eq!(response["uid"], "u-1");
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "both or neither");
    response.clone()
}

/// What is stored of `object` and the response, where Berth is asked about its creation.
async fn create(app: &App<Fake>, object: &Value) -> (Value, Value) {
    let response = ask(app, Mode::Enforce, &review_of(object)).await;
    (patched(object, &response).await, response)
}

/// The operations of the response's patch.
fn patch_of(response: &Value) -> Vec<Value> {
    let patch = response["patch"].as_str().map(|patch| STANDARD.decode(patch).unwrap());
    patch.map(|patch| serde_json::from_slice(&patch).unwrap()).unwrap_or_default()
}

/// The object after the response's patch, about which both libraries must agree.
async fn patched(object: &Value, response: &Value) -> Value {
    let patch = Value::Array(patch_of(response));
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
    let mut ours = object.clone();
    json_patch::patch(&mut ours, &operations).unwrap_or_else(|error| panic!("{error}: {patch} on {object}"));
    let theirs = oracle().await.apply(object, &patch).unwrap_or_else(|error| panic!("{error}: {patch} on {object}"));
    assert_eq!(ours, theirs, "{patch} on {object}");
    ours
}

/// One for all tests; it ends with the process.
async fn oracle() -> &'static Oracle {
    static ORACLE: OnceCell<Oracle> = OnceCell::const_new();
    ORACLE.get_or_try_init(Oracle::start).await.unwrap()
}

/// The first container's image.
fn image(object: &Value) -> &str {
    object["spec"]["containers"][0]["image"].as_str().unwrap()
}

/// The first warning.
fn warning(response: &Value) -> &str {
    response["warnings"][0].as_str().unwrap_or_else(|| panic!("no warning: {response}"))
}

/// The reason of a denial.
fn denial(response: &Value) -> &str {
    assert_eq!((&response["allowed"], response.get("patch")), (&json!(false), None), "{response}");
    response["status"]["message"].as_str().unwrap()
}

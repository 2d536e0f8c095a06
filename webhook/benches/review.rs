//! What one review costs: decoding in instructions, a cached review in allocations.
//!
//! `cargo bench -p berth --bench review`; the instruction counts need valgrind.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;

use std::{
    alloc::System,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use berth::{
    admission::{App, Mode, decode},
    config::Config,
    nodes::{Index, Nodes},
    registry::{Fake, Shared},
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    if let Some((mode, rounds)) = measure::asked() {
        return run(&mode, rounds);
    }
    for (name, most) in [("small", 1.3), ("large", 1.3)] {
        let bytes = body(name).len();
        let figures = ["decode", "ignore"].map(|what| measure::instructions(&format!("{what}-{name}"), 200, 1_200));
        let [Some(decoding), Some(ignoring)] = figures else {
            println!("decoding: skipped, because valgrind is not installed");
            break;
        };
        measure::verdict(&format!("decoding {bytes} bytes: instructions ÷ skipping them"), decoding / ignoring, most);
    }
    let [one, eleven] = [1, 11].map(allocations);
    let each = (eleven - one) / 10.0;
    measure::verdict("allocations of a cached review: for each container", each, 6.0);
    measure::verdict("allocations of a cached review: besides", one - each, 60.0);
}

/// Rounds for callgrind.
fn run(mode: &str, rounds: u32) {
    let (what, name) = mode.split_once('-').unwrap();
    let body = body(name);
    for _ in 0..rounds {
        match what {
            "decode" => drop(black_box(decode::decode(black_box(&body)).unwrap())),
            "ignore" => drop(black_box(serde_json::from_slice::<IgnoredAny>(black_box(&body)).unwrap())),
            _ => unreachable!("{mode}"),
        }
    }
}

/// Allocations of one review whose images were all asked for a moment ago.
fn allocations(containers: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Fake::new();
    for number in 0..containers {
        registry.push(&format!("registry.example/team/app-{number}:latest"));
    }
    let app = App {
        config: Arc::new(Config::default()),
        registry: Shared::new(registry, Duration::from_secs(300)),
        nodes: Some(Arc::new(Nodes::fixed(Index::from_nodes([], 50, Instant::now())))),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    };
    let body = review(&pod(containers, 2)).to_string();
    let ask = || {
        let deadline = Instant::now() + Duration::from_secs(5);
        runtime.block_on(app.review(Mode::Enforce, body.as_bytes(), deadline)).unwrap()
    };
    let answer = ask();
    assert!(String::from_utf8_lossy(&answer).contains("JSONPatch"), "nothing was pinned");
    let rounds = 100;
    let region = Region::new(ALLOCATOR);
    for _ in 0..rounds {
        black_box(ask());
    }
    let change = region.change();
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let each = (change.allocations + change.reallocations) as f64 / f64::from(rounds);
    each
}

/// A review of about 4 KB, or of about 16 KB.
fn body(name: &str) -> Vec<u8> {
    let (containers, environment) = if name == "small" { (1, 20) } else { (4, 40) };
    review(&pod(containers, environment)).to_string().into_bytes()
}

fn review(pod: &Value) -> Value {
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop", "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "uid": "0d5d7a5c", "groups": ["system:serviceaccounts", "system:authenticated"]},
            "object": pod, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn pod(containers: usize, environment: usize) -> Value {
    let containers: Vec<_> = (0..containers).map(|number| container(number, environment)).collect();
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "generateName": "web-6d4cf56db6-", "namespace": "shop", "creationTimestamp": null,
            "labels": {"app": "web", "pod-template-hash": "6d4cf56db6"}, "annotations": {"team.example/owner": "shop"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4cf56db6", "uid": "c0ffee", "controller": true, "blockOwnerDeletion": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {}, "f:dnsPolicy": {}}}}],
        },
        "spec": {
            "containers": containers,
            "volumes": [{"name": "kube-api-access", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}], "defaultMode": 420}}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {}, "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}

fn container(number: usize, environment: usize) -> Value {
    let environment: Vec<_> = (0..environment)
        .map(|item| json!({"name": format!("SETTING_{item}"), "value": "some value of middling length, as they are"}))
        .collect();
    json!({
        "name": format!("app-{number}"), "image": format!("registry.example/team/app-{number}:latest"),
        "env": environment, "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent", "securityContext": {"allowPrivilegeEscalation": false},
    })
}

//! Which requests reach Berth, counted at a webhook in its place: twelve namespaces, and all kinds of object that a rule
//! could catch by mistake.

use anyhow::{Context as _, ensure};
use berth_tests::{
    cluster::{Cluster, Node, Options},
    manifests::{kustomized, objects},
    recorder::{Call, Recorder},
    wait::until,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{LIMIT, SYSTEM};

/// What Pods of a namespace meet.
#[derive(Clone, Copy, PartialEq)]
enum Admission {
    Enabled,
    Observed,
    Off,
}

/// A namespace, and its labels.
type Space = (&'static str, &'static [(&'static str, &'static str)], Admission);

const NAMESPACES: [Space; 12] = [
    ("calls-enabled", &[("berth.dev/admission", "enabled")], Admission::Enabled),
    ("calls-labelled", &[("berth.dev/admission", "enabled"), ("team", "a")], Admission::Enabled),
    ("calls-observed", &[("berth.dev/admission", "observe")], Admission::Observed),
    ("calls-none", &[], Admission::Off),
    ("calls-on", &[("berth.dev/admission", "on")], Admission::Off),
    ("calls-capital", &[("berth.dev/admission", "Enabled")], Admission::Off),
    ("calls-other", &[("berth.dev/require-digest", "all")], Admission::Off),
    ("default", &[], Admission::Off),
    ("kube-public", &[], Admission::Off),
    ("kube-system", &[("berth.dev/admission", "enabled")], Admission::Off),
    ("kube-node-lease", &[("berth.dev/admission", "enabled")], Admission::Off),
    (SYSTEM, &[("berth.dev/admission", "enabled")], Admission::Off),
];

#[tokio::test]
async fn berth_is_called_for_what_it_decides_and_nothing_else() {
    let options = Options { only_api_server: true, ..Options::default() };
    let cluster = &Cluster::start_with(&options).await.unwrap();
    cluster.add(&Node::new("calls")).await.unwrap();
    for (namespace, labels, _) in NAMESPACES {
        label(cluster, namespace, labels).await.unwrap();
        let existing = pod("existing");
        create(cluster, Some(namespace), &existing, false).await.unwrap();
    }
    let recorder = Recorder::start(cluster.authority()).await.unwrap();
    register(cluster, &recorder).await.unwrap();
    until("the API server calls the recorder", LIMIT, async || {
        let (pod, deployment) = (|| Request::Create(pod("probe")), || workloads().swap_remove(0).1);
        // Each of the two configurations is heard of by a watch of its own.
        for (namespace, path, request) in [
            ("calls-enabled", "/mutate", pod()),
            ("calls-observed", "/observe", pod()),
            ("calls-enabled", "/warn", deployment()),
            ("calls-observed", "/warn/observe", deployment()),
        ] {
            request.send(cluster, namespace).await?;
            ensure!(recorder.take().iter().any(|call| call.path == path), "{path} is not asked");
        }
        Ok(())
    })
    .await
    .unwrap();

    let (mut requests, mut calls) = (0, 0);
    for (namespace, _, admission) in NAMESPACES {
        for (title, object, wanted) in namespaced(namespace) {
            requests += 1;
            recorder.take();
            object.send(cluster, namespace).await.unwrap_or_else(|error| panic!("{title} in {namespace}: {error:#}"));
            let paths: Vec<_> = recorder.take().into_iter().map(|call| on(namespace, call)).collect();
            let wanted: &[&str] = match admission {
                Admission::Enabled => wanted.0,
                Admission::Observed => wanted.1,
                Admission::Off => &[],
            };
            calls += wanted.len();
            assert_eq!(paths, wanted, "{title} in {namespace}");
        }
    }
    for object in cluster_wide() {
        requests += 1;
        recorder.take();
        create(cluster, None, &object, true).await.unwrap();
        assert_eq!(recorder.take(), [], "{object}");
    }
    println!("{requests} requests in {} namespaces, {calls} calls", NAMESPACES.len());
}

/// Where `call` was sent; it must be about `namespace`.
fn on(namespace: &str, call: Call) -> String {
    assert_eq!(call.namespace, namespace, "{call:?}");
    call.path
}

/// A request, and where it is sent in namespaces that are enabled and observed.
type Case = (&'static str, Request, Paths);

/// In namespaces that are enabled, and observed.
type Paths = (&'static [&'static str], &'static [&'static str]);

const CALLED: Paths = (&["/mutate"], &["/observe"]);
const WARNED: Paths = (&["/warn"], &["/warn/observe"]);
const SPARED: Paths = (&[], &[]);

enum Request {
    Create(Value),
    /// Of the Pod that is there.
    Patch {
        subresource: &'static str,
        change: Value,
    },
}

impl Request {
    async fn send(self, cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
        let (subresource, change) = match self {
            Self::Create(object) => return create(cluster, Some(namespace), &object, true).await,
            Self::Patch { subresource, change } => (subresource, Patch::Strategic(change)),
        };
        let (pods, dry) = (cluster.pods(namespace).await?, PatchParams { dry_run: true, ..PatchParams::default() });
        if subresource.is_empty() {
            pods.patch("existing", &dry, &change).await?;
        } else {
            pods.patch_subresource(subresource, "existing", &dry, &change).await?;
        }
        Ok(())
    }
}

/// What is tried in each namespace.
fn namespaced(namespace: &str) -> Vec<Case> {
    let debug = container("debug");
    let patch = |subresource, change| Request::Patch { subresource, change };
    let create = |version: &str, kind: &str, more: Value| Request::Create(object(version, kind, more));
    let pretending = json!({
        "metadata": { "annotations": { "kubernetes.io/config.mirror": "abc" } },
        "spec": { "ephemeralContainers": [debug] },
    });
    let mut mirror = pod("mirror");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "abc" });
    mirror["spec"]["nodeName"] = json!("calls");
    let lease = json!({ "spec": { "holderIdentity": namespace } });
    let mut cases = workloads();
    cases.extend([
        ("a Pod", Request::Create(pod("new")), CALLED),
        ("kubectl debug", patch("ephemeralcontainers", json!({ "spec": { "ephemeralContainers": [debug] } })), CALLED),
        ("kubectl debug as of a static Pod", patch("ephemeralcontainers", pretending), CALLED),
        (
            "kubectl set image",
            patch("", json!({ "spec": { "containers": [{ "name": "app", "image": container("other")["image"] }] } })),
            SPARED,
        ),
        ("a Pod's label", patch("", json!({ "metadata": { "labels": { "any": "label" } } })), SPARED),
        ("a Pod's status", patch("status", json!({ "status": { "message": "any" } })), SPARED),
        ("a static Pod", Request::Create(mirror), SPARED),
        ("a ConfigMap", create("v1", "ConfigMap", json!({})), SPARED),
        ("a Secret", create("v1", "Secret", json!({})), SPARED),
        ("a ServiceAccount", create("v1", "ServiceAccount", json!({})), SPARED),
        ("a Lease", create("coordination.k8s.io/v1", "Lease", lease), SPARED),
    ]);
    cases
}

/// What makes Pods: by the hand of somebody who hears of it, or of a controller.
fn workloads() -> Vec<Case> {
    let selector = json!({ "matchLabels": { "app": "app" } });
    let mut template = pod("app");
    template["metadata"] = json!({ "labels": { "app": "app" } });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let job = json!({ "template": { "metadata": once["metadata"], "spec": once["spec"] } });
    let template = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    let apps = |kind: &str, more: Value| {
        let mut spec = json!({ "selector": selector, "template": template });
        json_patch::merge(&mut spec, &more);
        object("apps/v1", kind, json!({ "spec": spec }))
    };
    let batch = |kind: &str, spec: Value| object("batch/v1", kind, json!({ "spec": spec }));
    let made_by = |kind: &str, mut object: Value| {
        let owner = json!({ "apiVersion": "any/v1", "kind": kind, "name": "any", "uid": "u", "controller": true });
        object["metadata"]["ownerReferences"] = json!([owner]);
        object
    };
    let cases = [
        ("a Deployment", apps("Deployment", json!({})), WARNED),
        ("a StatefulSet", apps("StatefulSet", json!({ "serviceName": "any" })), WARNED),
        ("a DaemonSet", apps("DaemonSet", json!({})), WARNED),
        ("a ReplicaSet", apps("ReplicaSet", json!({})), WARNED),
        ("a Deployment's ReplicaSet", made_by("Deployment", apps("ReplicaSet", json!({}))), SPARED),
        ("a Job", batch("Job", job.clone()), WARNED),
        ("a CronJob's Job", made_by("CronJob", batch("Job", job.clone())), SPARED),
        ("a CronJob", batch("CronJob", json!({ "schedule": "@daily", "jobTemplate": { "spec": job } })), WARNED),
    ];
    cases.map(|(title, object, wanted)| (title, Request::Create(object), wanted)).into()
}

/// What no rule may ever catch.
fn cluster_wide() -> Vec<Value> {
    vec![
        object("v1", "Node", json!({})),
        object("v1", "Namespace", json!({ "metadata": { "labels": { "berth.dev/admission": "enabled" } } })),
        object("rbac.authorization.k8s.io/v1", "ClusterRole", json!({ "rules": [] })),
        object("scheduling.k8s.io/v1", "PriorityClass", json!({ "value": 1 })),
        object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", json!({})),
    ]
}

/// The shipped configurations, but for where they point: a call that does not reach the recorder fails.
async fn register(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<()> {
    let rendered = objects(&kustomized("base").await?)?.into_iter();
    let mut registered = 0;
    for mut configuration in rendered.filter(|one| one["webhooks"].is_array()) {
        configuration["metadata"]["name"] = json!("zz-recorder");
        for webhook in configuration["webhooks"].as_array_mut().context("webhooks are a list")? {
            let path = webhook["clientConfig"]["service"]["path"].as_str().context("a webhook has a path")?;
            webhook["clientConfig"] = recorder.client_config(path);
            webhook["failurePolicy"] = json!("Fail");
        }
        cluster.apply(&configuration.to_string()).await?;
        registered += 1;
    }
    ensure!(registered > 0, "no configuration is rendered");
    Ok(())
}

async fn label(cluster: &Cluster, namespace: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
    cluster.namespace(namespace, &[]).await?;
    let labels: serde_json::Map<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
    namespaces.patch(namespace, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn create(cluster: &Cluster, namespace: Option<&str>, object: &Value, dry_run: bool) -> anyhow::Result<()> {
    let [version, kind] = ["apiVersion", "kind"].map(|key| object[key].as_str().unwrap_or_default());
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let client = cluster.client().await?;
    let api = match namespace {
        Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, &resource),
        None => Api::<DynamicObject>::all_with(client, &resource),
    };
    let parameters = PostParams { dry_run, ..PostParams::default() };
    api.create(&parameters, &serde_json::from_value(object.clone())?).await?;
    Ok(())
}

/// `object`, with what every object has.
fn object(version: &str, kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = json!("any");
    }
    object
}

/// A Pod that every profile of Pod security and every policy takes.
fn pod(name: &str) -> Value {
    let spec = json!({
        "automountServiceAccountToken": false,
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [container("app")],
    });
    object("v1", "Pod", json!({ "metadata": { "name": name }, "spec": spec }))
}

fn container(name: &str) -> Value {
    let security = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    json!({ "name": name, "image": format!("app@sha256:{}", "0".repeat(64)), "securityContext": security })
}

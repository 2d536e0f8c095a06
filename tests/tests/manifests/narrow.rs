//! What the controller may do to Pods, tried with its own name on a real API server: its right to patch them is a right
//! to change their images, and a policy takes that away.

use anyhow::ensure;
use berth_tests::wait::until;
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Event, Node, Pod, Secret, ServiceAccount},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{LIMIT, SYSTEM, client_of, installed};

/// What Berth does to Pods in the end: it opens its gate with an affinity, and writes what is its own.
#[tokio::test]
async fn the_controller_may_open_its_gate_and_write_what_is_its_own() {
    let ours = scene("narrow-ours").await;
    let one = |patch: Value| (merge(&patch), patch);
    for (patch, shown) in [
        one(json!({ "metadata": { "labels": { "berth.dev/gated": "true", "berth.dev/placed": "true" } } })),
        one(json!({ "metadata": { "labels": { "berth.dev/placed": null } } })),
        one(json!({ "metadata": { "annotations": { "berth.dev/notes": "app: waits" } } })),
        one(json!({ "metadata": { "annotations": { "berth.dev/notes": null } } })),
        one(json!({ "metadata": { "labels": {} } })),
    ] {
        ours.patch("app", &dry(), &patch).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    let lifted = ours.patch("app", &PatchParams::default(), &json_patch(lift())).await.unwrap();
    let spec = lifted.spec.unwrap();
    assert_eq!(spec.scheduling_gates.unwrap().len(), 1, "another's gate stays");
    assert!(spec.affinity.unwrap().node_affinity.is_some());
    let bare = json_patch(json!([
        { "op": "add", "path": "/metadata/labels", "value": { "berth.dev/placed": "true" } },
        { "op": "add", "path": "/metadata/annotations", "value": { "berth.dev/notes": "waited" } },
        { "op": "add", "path": "/spec/affinity", "value": { "nodeAffinity": node_affinity() } },
        { "op": "remove", "path": "/spec/schedulingGates" },
    ]));
    ours.patch("bare", &PatchParams::default(), &bare).await.unwrap();
}

#[tokio::test]
async fn the_controller_may_change_nothing_else_of_a_pod() {
    let ours = scene("narrow-theirs").await;
    let theirs = installed().await.unwrap().pods("narrow-theirs").await.unwrap();
    for (patch, words) in refused() {
        let answer = ours.patch("app", &dry(), &json_patch(patch.clone())).await;
        let said = answer.expect_err(&patch.to_string()).to_string();
        assert!(said.contains("ValidatingAdmissionPolicy 'berth-controller'"), "{patch}: {said}");
        assert!(said.contains(words), "{patch}: {said}");
        // The policy is about the controller: the same change by somebody else is allowed.
        theirs
            .patch("app", &dry(), &json_patch(patch.clone()))
            .await
            .unwrap_or_else(|error| panic!("{patch}: {error}"));
    }
    println!("{} changes refused to the controller, and allowed to an administrator", refused().len());
}

/// Each with what the policy says. All are changes that the API server would take.
fn refused() -> Vec<(Value, &'static str)> {
    let (spec, gates) = ("nothing in a Pod's spec", "no gate but berth.dev/image-on-node");
    let (labels, annotations) = ("no labels but those of berth.dev", "no annotations but those of berth.dev");
    let metadata = "no owners and finalizers";
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": "any", "uid": "u" }]);
    let toleration = json!({ "key": "any", "operator": "Exists" });
    let smuggled =
        [lift().as_array().unwrap().as_slice(), &[replace("/spec/containers/0/image", json!("evil"))]].concat();
    vec![
        (json!([replace("/spec/containers/0/image", json!("evil"))]), spec),
        (json!([replace("/spec/containers/1/image", json!("evil"))]), spec),
        (json!([replace("/spec/initContainers/0/image", json!("evil"))]), spec),
        (json!(smuggled), spec),
        (json!([add("/spec/activeDeadlineSeconds", json!(1))]), spec),
        (json!([add("/spec/tolerations/-", toleration)]), spec),
        (json!([add("/spec/nodeSelector", json!({ "any": "node" }))]), spec),
        (json!([{ "op": "remove", "path": "/spec/schedulingGates/0" }]), gates),
        (json!([{ "op": "remove", "path": "/spec/schedulingGates" }]), gates),
        (json!([add("/metadata/labels/app", json!("other"))]), labels),
        (json!([add("/metadata/labels/berth.development", json!("true"))]), labels),
        (json!([{ "op": "remove", "path": "/metadata/labels/app" }]), labels),
        (json!([{ "op": "remove", "path": "/metadata/labels" }]), labels),
        (json!([add("/metadata/annotations/team", json!("other"))]), annotations),
        (json!([{ "op": "remove", "path": "/metadata/annotations/team" }]), annotations),
        (json!([{ "op": "remove", "path": "/metadata/annotations" }]), annotations),
        (json!([add("/metadata/finalizers", json!(["example.com/any"]))]), metadata),
        (json!([add("/metadata/ownerReferences", owner)]), metadata),
    ]
}

/// Beyond `pods` itself the role ends: neither the subresources nor anything else of a Pod.
#[tokio::test]
async fn the_controller_may_do_nothing_else_with_pods() {
    let ours = scene("narrow-others").await;
    let status = json!({ "status": { "phase": "Failed" } });
    denied("status", ours.patch_status("app", &dry(), &merge(&status)).await);
    let debug = json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": "evil" }] } });
    denied("ephemeralcontainers", ours.patch_ephemeral_containers("app", &dry(), &Patch::Strategic(debug)).await);
    denied("eviction", ours.evict("app", &kube::api::EvictParams::default()).await);
    denied("delete", ours.delete("app", &DeleteParams::default().dry_run()).await);
    denied("create", ours.create(&PostParams::default(), &pod("another", false)).await);
    let mut whole = ours_as_seen("narrow-others").await;
    whole.metadata.managed_fields = None;
    denied("replace", ours.replace("app", &PostParams::default(), &whole).await);
}

async fn ours_as_seen(namespace: &str) -> Pod {
    installed().await.unwrap().pods(namespace).await.unwrap().get("app").await.unwrap()
}

/// `berth webhook` can write nothing at all.
#[tokio::test]
async fn the_webhook_may_write_nothing() {
    scene("narrow-webhook").await;
    let client = client_of("berth-webhook").await.unwrap();
    let namespace = "narrow-webhook";
    let label = json!({ "metadata": { "labels": { "berth.dev/placed": "true" } } });
    denied("patch a Pod", Api::<Pod>::namespaced(client.clone(), namespace).patch("app", &dry(), &merge(&label)).await);
    let mut tried = 0;
    for space in [namespace, SYSTEM, "kube-public"] {
        tried += nothing::<Pod>(client.clone(), space).await;
        tried += nothing::<Secret>(client.clone(), space).await;
        tried += nothing::<ConfigMap>(client.clone(), space).await;
        tried += nothing::<ServiceAccount>(client.clone(), space).await;
        tried += nothing::<Event>(client.clone(), space).await;
        tried += nothing::<Lease>(client.clone(), space).await;
        tried += nothing::<Deployment>(client.clone(), space).await;
    }
    denied("patch a Node", Api::<Node>::all(client.clone()).patch("any", &dry(), &merge(&label)).await);
    denied(
        "patch a role",
        Api::<ClusterRole>::all(client.clone()).patch("berth-webhook", &dry(), &merge(&label)).await,
    );
    println!("{} writes refused to berth-webhook", tried + 3);
}

/// Tries every way to write an object of this kind; how many.
async fn nothing<K>(client: Client, namespace: &str) -> usize
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let (kind, api) = (K::kind(&()).into_owned(), Api::<K>::namespaced(client, namespace));
    let object: K = serde_json::from_value(json!({ "metadata": { "name": "any" } })).unwrap();
    denied(&format!("create {kind}"), api.create(&PostParams::default(), &object).await);
    denied(&format!("patch {kind}"), api.patch("any", &dry(), &merge(&json!({ "metadata": {} }))).await);
    denied(&format!("delete {kind}"), api.delete("any", &DeleteParams::default().dry_run()).await);
    3
}

/// The answer is that nobody gave that right.
fn denied<T>(what: &str, answer: Result<T, kube::Error>) {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            assert!(!status.message.contains("ValidatingAdmissionPolicy"), "{what}: {}", status.message);
        }
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} is allowed"),
    }
}

/// Two gated Pods in a new namespace, as the controller sees them, once the policy is in force.
async fn scene(namespace: &str) -> Api<Pod> {
    let cluster = installed().await.unwrap();
    cluster.namespace(namespace, &[]).await.unwrap();
    let theirs = cluster.pods(namespace).await.unwrap();
    theirs.create(&PostParams::default(), &pod("app", true)).await.unwrap();
    theirs.create(&PostParams::default(), &pod("bare", false)).await.unwrap();
    let ours: Api<Pod> = Api::namespaced(client_of("berth-controller").await.unwrap(), namespace);
    let image = json_patch(json!([replace("/spec/containers/0/image", json!("probe"))]));
    until("the policy is in force", LIMIT, async || {
        ensure!(ours.patch("app", &dry(), &image).await.is_err(), "the controller may change images");
        Ok(())
    })
    .await
    .unwrap();
    ours
}

/// Gated by Berth, and as others would have it where it is `rich`.
fn pod(name: &str, rich: bool) -> Pod {
    let mut pod = json!({
        "metadata": { "name": name },
        "spec": {
            "containers": [{ "name": "app", "image": "app" }, { "name": "side", "image": "side" }],
            "initContainers": [{ "name": "init", "image": "init" }],
            "schedulingGates": [{ "name": "berth.dev/image-on-node" }],
        },
    });
    if rich {
        pod["metadata"]["labels"] = json!({ "app": "app", "berth.dev/attention": "waiting" });
        pod["metadata"]["annotations"] = json!({ "team": "a" });
        pod["spec"]["schedulingGates"] =
            json!([{ "name": "example.com/another" }, { "name": "berth.dev/image-on-node" }]);
        let term =
            json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "app" } } });
        pod["spec"]["affinity"]["podAntiAffinity"] =
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] });
    }
    serde_json::from_value(pod).unwrap()
}

/// As `gates/lift.rs` does it.
fn lift() -> Value {
    json!([
        add("/spec/affinity/nodeAffinity", node_affinity()),
        add("/metadata/annotations/berth.dev~1notes", json!("waited until a had its image")),
        add("/metadata/labels/berth.dev~1placed", json!("true")),
        { "op": "remove", "path": "/metadata/labels/berth.dev~1attention" },
        { "op": "remove", "path": "/spec/schedulingGates/1" },
    ])
}

fn node_affinity() -> Value {
    let expression = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["a"] });
    let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] });
    json!({ "requiredDuringSchedulingIgnoredDuringExecution": terms })
}

fn add(path: &str, value: Value) -> Value {
    operation("add", path, value)
}

fn replace(path: &str, value: Value) -> Value {
    operation("replace", path, value)
}

fn operation(name: &str, path: &str, value: Value) -> Value {
    let mut operation = json!({ "op": name, "path": path });
    operation["value"] = value;
    operation
}

fn json_patch(patch: Value) -> Patch<()> {
    Patch::Json(serde_json::from_value(patch).unwrap())
}

fn merge(patch: &Value) -> Patch<Value> {
    Patch::Merge(patch.clone())
}

fn dry() -> PatchParams {
    PatchParams { dry_run: true, ..PatchParams::default() }
}

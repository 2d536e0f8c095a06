//! Namespaces that insist on digests, judged by a real API server: what Berth could not pin is refused, also where Berth
//! does not run.

use anyhow::ensure;
use berth_tests::{
    berth::{Options, Webhook, opted_in},
    cluster::{Cluster, Node},
    registry::Registry,
    wait::until,
};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{LIMIT, SYSTEM, installed};

/// Pods, and in which namespaces they are refused, with words of the refusal: by the label's value.
#[tokio::test]
async fn what_is_let_in_has_digests() {
    let cluster = installed().await.unwrap();
    cluster.add(&Node::new("digests").image(&["docker.io/library/other:dev"])).await.unwrap();
    for value in ["all", "pulled", "false"] {
        insisting(cluster, &format!("digests-{value}"), value).await;
    }
    cluster.namespace("digests-free", &[]).await.unwrap();
    for spared in ["kube-system", "kube-node-lease", SYSTEM] {
        cluster.namespace(spared, &[("berth.dev/require-digest", "all")]).await.unwrap();
    }
    let cases = cases();
    for (title, spec, all, pulled) in &cases {
        let pod = json!({ "metadata": { "name": "any" }, "spec": spec });
        for (namespace, refusal) in [
            ("digests-all", *all),
            // A label that nobody understands is not a way out.
            ("digests-false", *all),
            ("digests-pulled", *pulled),
            ("digests-free", None),
            // Whoever labels these must not keep the cluster, or Berth, from starting.
            ("kube-system", None),
            ("kube-node-lease", None),
        ] {
            check(title, namespace, dry_run(cluster, namespace, &pod).await, refusal);
        }
    }
    println!("{} Pods in 6 namespaces", cases.len());
}

type Case = (&'static str, Value, Option<&'static str>, Option<&'static str>);

fn cases() -> Vec<Case> {
    let (pinned, both) = (format!("app@{DIGEST}"), format!("example.com:5000/app:v1@{DIGEST}"));
    let main = |image: &str| json!({ "name": "main", "image": image });
    let spec = |image: &str| json!({ "containers": [main(image)] });
    let with =
        |list: &str, image: &str| json!({ "containers": [main(&both)], list: [{ "name": "two", "image": image }] });
    let never = |image: &str| json!({ "containers": [{ "name": "main", "image": image, "imagePullPolicy": "Never" }] });
    let volume = |reference: &str, policy: &str| {
        let volume = json!({ "name": "data", "image": { "reference": reference, "pullPolicy": policy } });
        json!({ "containers": [main(&pinned)], "volumes": [volume] })
    };
    let mut sidecar = with("initContainers", "side:v1");
    sidecar["initContainers"][0]["restartPolicy"] = json!("Always");
    let mut several = with("initContainers", "init");
    several["containers"] = json!([{ "name": "main", "image": "app:v1" }, { "name": "more", "image": "more" }]);
    let mut mixed = never("app:dev");
    mixed["initContainers"] = json!([{ "name": "init", "image": "init:v1" }]);
    let long = "a".repeat(6000);
    let app = Some("main has app:v1. Berth noted nothing");
    vec![
        ("a digest", spec(&pinned), None, None),
        ("a tag and a digest", spec(&both), None, None),
        ("a digest by SHA-512", spec(&format!("app@sha512:{}", "ab".repeat(64))), None, None),
        ("a tag", spec("app:v1"), app, app),
        ("no tag", spec("app"), Some("main has app."), Some("main has app.")),
        ("a short digest", spec(&pinned[..pinned.len() - 1]), Some("main has app@sha256:"), Some("main has app@")),
        ("a long digest", spec(&format!("{pinned}0")), Some("main has app@sha256:"), Some("main has app@")),
        ("an upper-case digest", spec(&format!("app@sha256:{}", "AB".repeat(32))), Some("main has"), Some("main has")),
        ("a digest that is part of the tag", spec(&format!("{pinned}:v1")), Some("main has"), Some("main has")),
        ("an unknown algorithm", spec(&format!("app@md5:{}", "ab".repeat(32))), Some("main has"), Some("main has")),
        ("a line break after the digest", spec(&format!("{pinned}\nx")), Some("every image"), Some("every image")),
        ("a name that is too long to say", spec(&long), Some("every image here needs"), Some("every image here needs")),
        ("an init container", with("initContainers", "init:v1"), Some("two has init:v1."), Some("two has init:v1.")),
        ("a pinned init container", with("initContainers", &both), None, None),
        ("a sidecar", sidecar, Some("two has side:v1."), Some("two has side:v1.")),
        ("several", several, Some("main has app:v1, as 2 more have none"), Some("as 2 more have none")),
        (
            "an image volume",
            volume("data:v1", "IfNotPresent"),
            Some("volume data has data:v1."),
            Some("volume data has"),
        ),
        ("a pinned image volume", volume(&pinned, "IfNotPresent"), None, None),
        ("an image volume that is never pulled", volume("data:v1", "Never"), Some("volume data has"), None),
        ("an image that is never pulled", never("app:v1"), app, None),
        ("only one is never pulled", mixed, Some("main has app:dev, as 1 more"), Some("init has init:v1.")),
    ]
}

/// `kubectl debug`, `kubectl set image` and everything else that happens to a Pod which runs without a digest.
#[tokio::test]
async fn a_pod_that_is_there_may_change_but_for_its_images() {
    let (cluster, namespace) = (installed().await.unwrap(), "digests-later");
    cluster.namespace(namespace, &[]).await.unwrap();
    let pods = cluster.pods(namespace).await.unwrap();
    let (pinned, other) = (format!("app@{DIGEST}"), "other:v1");
    let containers = json!([{ "name": "main", "image": "app:v1" }, { "name": "side", "image": "side:v1" }]);
    let volumes = json!([{ "name": "data", "image": { "reference": "data:v1" } }]);
    let pod = json!({ "metadata": { "name": "app" }, "spec": { "containers": containers, "volumes": volumes } });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    insisting(cluster, namespace, "all").await;

    let image = |name: &str, image: &str| json!({ "spec": { "containers": [{ "name": name, "image": image }] } });
    let debug = |image: &str| json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": image }] } });
    let ephemeral = "ephemeralcontainers";
    for (title, subresource, change, refusal) in [
        ("a label", "", json!({ "metadata": { "labels": { "any": "label" } } }), None),
        ("a finalizer", "", json!({ "metadata": { "finalizers": ["example.com/any"] } }), None),
        ("a status", "status", json!({ "status": { "message": "any" } }), None),
        ("the same image", "", image("main", "app:v1"), None),
        ("a digest", "", image("main", &pinned), None),
        ("another tag", "", image("main", other), Some("main has other:v1.")),
        ("the tag that its neighbour has", "", image("main", "side:v1"), Some("main has side:v1.")),
        ("kubectl debug with a tag", ephemeral, debug("busybox"), Some("debug has busybox.")),
        ("kubectl debug with a digest", ephemeral, debug(&pinned), None),
    ] {
        let (dry, change) = (PatchParams { dry_run: true, ..PatchParams::default() }, Patch::Strategic(change));
        let answer = match subresource {
            "" => pods.patch("app", &dry, &change).await,
            subresource => pods.patch_subresource(subresource, "app", &dry, &change).await,
        };
        check(title, namespace, answer.map(drop).map_err(|error| error.to_string()), refusal);
    }
}

/// Where a controller makes the Pods, the refusal stands in the Event that says so.
#[tokio::test]
async fn a_deployment_hears_of_it_in_an_event() {
    let (cluster, namespace) = (installed().await.unwrap(), "digests-deployment");
    insisting(cluster, namespace, "all").await;
    let labels = json!({ "app": "web" });
    let template =
        json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web", "image": "web" }] } });
    let spec = json!({ "selector": { "matchLabels": labels }, "template": template });
    let metadata = json!({ "name": "web", "namespace": namespace });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec });
    cluster.apply(&deployment.to_string()).await.unwrap();
    let events: Api<Event> = Api::namespaced(cluster.client().await.unwrap(), namespace);
    until("an Event says why there is no Pod", LIMIT, async || {
        let events = events.list(&ListParams::default()).await?.items;
        let notes: Vec<_> = events.into_iter().filter_map(|event| event.note).collect();
        ensure!(notes.iter().any(|note| note.contains("every image here needs a digest")), "{notes:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(cluster.pods(namespace).await.unwrap().list(&ListParams::default()).await.unwrap().items.len(), 0);
}

/// A static Pod runs whether its mirror is let in or not.
#[tokio::test]
async fn a_mirror_of_a_static_pod_is_let_in() {
    let (cluster, namespace) = (installed().await.unwrap(), "digests-static");
    cluster.add(&Node::new("static").image(&["docker.io/library/other:dev"])).await.unwrap();
    insisting(cluster, namespace, "all").await;
    let spec = json!({
        "nodeName": "static", "automountServiceAccountToken": false, "containers": [{ "name": "main", "image": "app" }],
    });
    let mut pod = json!({ "metadata": { "name": "any" }, "spec": spec });
    check("a Pod of that node", namespace, dry_run(cluster, namespace, &pod).await, Some("main has app."));
    pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "abc" });
    check("a mirror", namespace, dry_run(cluster, namespace, &pod).await, None);
}

/// With Berth: what it pins is let in, and what it cannot pin is refused with what it noted.
#[tokio::test]
async fn berth_says_why_there_is_no_digest() {
    let (cluster, namespace) = (installed().await.unwrap(), "digests-berth");
    let registry = Registry::start().await.unwrap();
    registry.push_index("library/app", "latest", "one").await.unwrap();
    let hub = format!("registries: [{{host: docker.io, endpoint: '{}'}}]", registry.endpoint());
    let settings = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{hub}\n");
    let options = Options { only: Some("digests"), ..Options::new(&settings) };
    let _webhook = Webhook::start(cluster, &options).await.unwrap();
    let labels = [opted_in(Some("digests")), vec![("berth.dev/require-digest", "all")]].concat();
    cluster.namespace(namespace, &labels).await.unwrap();
    in_force(cluster, namespace).await;

    let pod = |image: &str| json!({ "metadata": { "name": "any" }, "spec": { "containers": [{ "name": "main", "image": image }] } });
    check("pinned", namespace, dry_run(cluster, namespace, &pod("app")).await, None);
    let missing = dry_run(cluster, namespace, &pod("missing")).await;
    check(
        "missing",
        namespace,
        missing,
        Some("main has missing. Berth noted: main: not pinned: docker.io has no such image"),
    );
    let fixed = dry_run(cluster, namespace, &pod("app:v1")).await;
    check("a tag that is not pinned", namespace, fixed, Some("is that tag under pin.tags"));
}

/// A namespace with the label, once it is in force there.
async fn insisting(cluster: &Cluster, namespace: &str, value: &str) {
    cluster.namespace(namespace, &[("berth.dev/require-digest", value)]).await.unwrap();
    in_force(cluster, namespace).await;
}

async fn in_force(cluster: &Cluster, namespace: &str) {
    let pod =
        json!({ "metadata": { "name": "any" }, "spec": { "containers": [{ "name": "any", "image": "any:v1" }] } });
    until(&format!("{namespace} insists on digests"), LIMIT, async || {
        ensure!(dry_run(cluster, namespace, &pod).await.is_err(), "a Pod without one is let in");
        Ok(())
    })
    .await
    .unwrap();
}

/// Creates the Pod for a try; what the refusal says.
async fn dry_run(cluster: &Cluster, namespace: &str, pod: &Value) -> Result<(), String> {
    let pods: Api<Pod> = cluster.pods(namespace).await.unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let answer = pods.create(&dry, &serde_json::from_value(pod.clone()).unwrap()).await;
    answer.map(drop).map_err(|error| error.to_string())
}

fn check(title: &str, namespace: &str, answer: Result<(), String>, refusal: Option<&str>) {
    match (answer, refusal) {
        (Ok(()), None) => (),
        (Err(said), Some(words)) => {
            assert!(
                said.contains("ValidatingAdmissionPolicy 'berth-require-digest'"),
                "{title} in {namespace}: {said}"
            );
            assert!(said.contains(words), "{title} in {namespace}: {words} expected: {said}");
        }
        (Ok(()), Some(words)) => panic!("{title} in {namespace} is let in: {words} expected"),
        (Err(said), None) => panic!("{title} in {namespace} is refused: {said}"),
    }
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

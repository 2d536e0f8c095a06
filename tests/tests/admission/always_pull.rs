//! An API server with the admission plugin `AlwaysPullImages`: it sets every policy to `Always` before Berth is called
//! and again after, and then refuses Pods that have another. Berth relaxes what it can, and no Pod is refused for it.

use berth_tests::cluster::{self, Node};
use kube::api::{Patch, PatchParams};

use super::{
    failures::webhook,
    injection::{INJECTED, injector},
    *,
};

#[tokio::test]
async fn nothing_that_berth_relaxes_is_refused() {
    let world = world().await;
    let options = cluster::Options {
        api_server: vec!["--enable-admission-plugins=NodeRestriction,AlwaysPullImages".to_owned()],
        only_api_server: true,
        ..cluster::Options::default()
    };
    // Never dropped, so ended with the process: its namespace is borrowed for as long.
    let cluster = Box::leak(Box::new(Cluster::start_with(&options).await.unwrap()));
    cluster.add(&Node::new("always-a").image(&["docker.io/library/petstore:dev"])).await.unwrap();
    cluster.add(&Node::new("always-b").image(&["registry.k8s.io/pause:3.10"])).await.unwrap();
    let mirror = Registry::start().await.unwrap();
    mirror.push_index("hub/busybox", "any", "library/busybox:latest").await.unwrap();
    let (_webhook, namespace) = webhook(cluster, "always-relaxed", &settings(&world.registry, &mirror)).await;

    let [nginx, busybox] = ["library/nginx:latest", "library/busybox:latest"].map(|image| world.digest(image));
    for (name, written, want) in [
        ("pinned", "nginx".to_owned(), format!("nginx@{nginx}")),
        ("re-pinned", format!("nginx:latest{OLD}"), format!("nginx:latest@{nginx}")),
        ("mirrored", "busybox:latest".to_owned(), format!("{}/hub/busybox:latest@{busybox}", mirror.host())),
        ("mirrored-by-digest", format!("busybox@{busybox}"), format!("{}/hub/busybox@{busybox}", mirror.host())),
    ] {
        let stored = namespace.create(&pod(name, &written)).await;
        assert_eq!((image(&stored), policy(&stored)), (want.as_str(), "Always"), "{name}");
    }
    let volume = json!([{"name": "data", "image": {"reference": "data"}}]);
    let stored = namespace
        .create(&pod_with("volume", &json!({"containers": [{"name": "main", "image": "nginx"}], "volumes": volume})))
        .await;
    assert_eq!(stored["spec"]["volumes"][0]["image"]["pullPolicy"], "Always");

    // The plugin comes before webhooks: `Never` never arrives.
    for (name, policy_written) in [("never", "Never"), ("local", "IfNotPresent"), ("always", "Always")] {
        let container = json!([{"name": "main", "image": "petstore:dev", "imagePullPolicy": policy_written}]);
        let stored = namespace.create(&pod_with(name, &json!({"containers": container}))).await;
        assert_eq!(policy(&stored), "Always", "{name}");
        assert!(notes(&stored).contains("it cannot start"), "{}", notes(&stored));
    }
    a_sidecar_between_the_calls(cluster, &namespace).await;

    // What has run before does so again: an ephemeral container is none of the plugin's business.
    let debug =
        json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "nginx", "imagePullPolicy": "Always"}]}});
    let changed: Pod = namespace
        .pods
        .patch_subresource("ephemeralcontainers", "pinned", &PatchParams::default(), &Patch::Strategic(debug))
        .await
        .unwrap();
    let changed = serde_json::to_value(changed).unwrap();
    let debug = &changed["spec"]["ephemeralContainers"][0];
    assert_eq!(
        (&debug["image"], &debug["imagePullPolicy"]),
        (&json!(format!("nginx@{nginx}")), &json!("IfNotPresent"))
    );
}

/// Into Pods of which Berth changes nothing at its first call, so that at the second one nothing shows that it was there.
async fn a_sidecar_between_the_calls(cluster: &Cluster, namespace: &Namespace) {
    let labels = json!({"metadata": {"labels": {INJECTED.0: INJECTED.1}}}).to_string();
    let patch = ["patch", "namespace", namespace.name, "-p", &labels];
    assert!(cluster.kubectl(&patch, "").await.unwrap().status.success());
    let _injector = injector(cluster, namespace).await;
    for (name, image) in [("tagged", "example.com/app:1".to_owned()), ("by-digest", format!("example.com/app{OLD}"))] {
        let stored = namespace.create(&pod(name, &image)).await;
        let containers = stored["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers[1]["image"], image, "untouched");
        assert!(containers[0]["image"].as_str().unwrap().starts_with("shop/app@sha256:"), "{containers:?}");
        assert!(containers.iter().all(|container| container["imagePullPolicy"] == "Always"), "{containers:?}");
    }
}

fn policy(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["imagePullPolicy"].as_str().unwrap()
}

fn settings(source: &Registry, mirror: &Registry) -> String {
    let (hub, host, endpoint) = (source.endpoint(), mirror.host(), mirror.endpoint());
    format!(
        "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n\
         pin: {{pullPolicy: IfNotPresent, repin: replace, repinImages: ['docker.io/*']}}\n\
         place: {{pullPolicy: IfNotPresent, local: [petstore]}}\n\
         registries: [{{host: docker.io, endpoint: '{hub}'}}, {{host: '{host}', endpoint: '{endpoint}'}}]\n\
         mirror: {{rules: [{{source: docker.io/library/busybox, mirror: '{host}/hub/busybox'}}]}}\n"
    )
}

const OLD: &str = "@sha256:7777777777777777777777777777777777777777777777777777777777777777";

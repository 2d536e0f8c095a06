//! Registries that are down or say no, callers that send garbage, and Berth itself gone.

use berth_tests::{
    faults::{Fault, FaultProxy},
    registry,
};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, WebhookClientConfig};
use kube::api::{Patch, PatchParams};

use super::*;

#[tokio::test]
async fn with_the_registry_down_admit_leaves_a_note_where_people_look() {
    let cluster = world().await.cluster;
    let (_registry, door) = registry_that_is_down().await;
    let (_webhook, namespace) = webhook(cluster, "down-admit", &configuration(&door.endpoint(), "")).await;
    namespace.apply_without_drift(&workloads::deployment("nginx", "Always")).await;
    let pod = namespace.pod().await;
    assert_eq!(image(&pod), "nginx");
    assert_eq!(pod["metadata"]["labels"]["berth.dev/attention"], "true");
    let name = pod["metadata"]["name"].as_str().unwrap();
    let shown = namespace.described(&["pod", name], "berth.dev/notes").await;
    assert!(shown.contains("main: not pinned: docker.io: "), "{shown}");
}

#[tokio::test]
async fn with_the_registry_down_deny_is_an_event_of_the_replica_set_until_it_is_back() {
    let cluster = world().await.cluster;
    let (registry, door) = registry_that_is_down().await;
    let settings = configuration(&door.endpoint(), "pin: {onFailure: deny}");
    let (_webhook, namespace) = webhook(cluster, "down-deny", &settings).await;
    namespace.kubectl(&["apply", "-f", "-"], &workloads::deployment("nginx", "Always").to_string()).await;
    let shown = namespace.described(&["replicaset"], "FailedCreate").await;
    assert!(shown.contains(r#"admission webhook "mutate.berth.dev" denied the request: main: image nginx"#), "{shown}");
    assert!(shown.contains("docker.io: ") && shown.contains("pin.onFailure is deny"), "{shown}");
    let shown = namespace.described(&["deployment", "web"], "ReplicaFailure").await;
    assert!(shown.contains("FailedCreate"), "{shown}");
    assert_eq!(namespace.pods(0).await, [] as [Value; 0]);

    door.set(Fault::Nothing).await.unwrap();
    let digest = registry.push("library/nginx", "latest", "nginx").await.unwrap();
    assert_eq!(image(&namespace.pod().await), format!("nginx@{digest}"));
}

#[tokio::test]
async fn with_the_registry_down_the_last_digest_stands_in_and_says_so() {
    let cluster = world().await.cluster;
    let (registry, door) = registry_that_is_down().await;
    door.set(Fault::Nothing).await.unwrap();
    let digest = registry.push("library/nginx", "latest", "nginx").await.unwrap();
    let (webhook, namespace) = webhook(cluster, "down-remembered", &docker_hub_at(&door.endpoint())).await;
    let container =
        |policy: &str| json!({"containers": [{"name": "main", "image": "nginx", "imagePullPolicy": policy}]});
    let stored = namespace.create(&pod_with("before", &container("IfNotPresent"))).await;
    assert_eq!(notes(&stored), "");
    door.set(Fault::Refuse).await.unwrap();
    let stored = namespace.create(&pod_with("during", &container("IfNotPresent"))).await;
    assert_eq!(image(&stored), format!("nginx@{digest}"));
    assert!(notes(&stored).starts_with("main: pinned as ") && notes(&stored).contains(" ago: docker.io"), "{stored}");
    assert_eq!(stored["metadata"]["labels"]["berth.dev/attention"], "true");
    // The kubelet asks anew for `Always`, and may reach what Berth cannot.
    let stored = namespace.create(&pod_with("always", &container("Always"))).await;
    assert_eq!(image(&stored), "nginx");
    let metrics = webhook.status("/metrics").await.unwrap();
    assert!(metrics.contains(r#"berth_pins_total{outcome="last_known_good"} 1"#), "{metrics}");
    // What is gone is not remembered, whatever comes after.
    door.set(Fault::Nothing).await.unwrap();
    registry.delete("library/nginx", &digest).await.unwrap();
    until("the registry is asked again, and has nothing", LIMIT, async || {
        let stored = namespace.try_create(&pod_with("gone", &container("IfNotPresent")), true).await?;
        ensure!(image(&stored) == "nginx" && notes(&stored).contains("no such image"), "{stored}");
        Ok(())
    })
    .await
    .unwrap();
    door.set(Fault::Refuse).await.unwrap();
    let stored = namespace.create(&pod_with("after", &container("IfNotPresent"))).await;
    assert_eq!(image(&stored), "nginx");
}

#[tokio::test]
async fn a_missing_image_and_missing_credentials_are_told_apart() {
    let cluster = world().await.cluster;
    let options = registry::Options { password: true, ..registry::Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    let digest = registry.push("private", "latest", "private").await.unwrap();
    let host = registry.host();
    let [private, gone] = ["private", "gone"].map(|name| format!("{host}/{name}:latest"));
    let settings = format!(
        "apiVersion: berth.dev/v1alpha1\nkind: Configuration\nregistries: [{{host: '{host}', endpoint: 'http://{host}'}}]\n"
    );
    let (webhook_without, namespace) = webhook(cluster, "no-credentials", &settings).await;
    let stored = namespace.create(&pod("private", &private)).await;
    assert_eq!(image(&stored), private);
    assert!(notes(&stored).contains(&format!("{host} wants credentials")), "{}", notes(&stored));
    drop(webhook_without);

    let auths = json!({"auths": {&host: {"username": registry::USER, "password": registry::PASSWORD}}});
    let file = cluster.folder().write("docker.json", auths.to_string()).unwrap();
    let settings = format!("{settings}credentials: [{{dockerConfigFile: '{}'}}]\n", file.display());
    let (webhook, namespace) = webhook(cluster, "credentials", &settings).await;
    assert_eq!(image(&namespace.create(&pod("private", &private)).await), format!("{private}@{digest}"));
    let stored = namespace.create(&pod("gone", &gone)).await;
    assert!(notes(&stored).contains(&format!("{host} has no such image")), "{}", notes(&stored));
    assert!(!webhook.log().contains(&registry::USER.repeat(2)), "no secret is logged");
}

#[tokio::test]
async fn garbage_is_refused_with_400_and_the_next_review_is_answered() {
    let world = world().await;
    let namespace = world.namespace("garbage").await;
    let configured = client_config(world.cluster, "world").await;
    let (url, bundle) = (configured.url.unwrap(), configured.ca_bundle.unwrap());
    let authority = reqwest::Certificate::from_pem(&bundle.0).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
    let pod = json!({"uid": "", "operation": "CREATE", "object": {}});
    let review = |version: &str, request: &Value| {
        json!({"apiVersion": version, "kind": "AdmissionReview", "request": request}).to_string()
    };
    for body in [
        String::new(),
        "garbage".to_owned(),
        "[".repeat(3_000_000),
        "{}".to_owned(),
        review("admission.k8s.io/v1", &Value::Null),
        review("admission.k8s.io/v1", &pod),
        review("admission.k8s.io/v1beta1", &pod),
        format!("{}\u{0}", review("admission.k8s.io/v1", &json!({"uid": "u"}))),
    ] {
        let start: String = body.chars().take(80).collect();
        let request = client.post(&url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{start}");
        assert_eq!(answer.headers().get("retry-after"), None, "the API server would repeat the call");
        assert_eq!(image(&namespace.dry_run(&self::pod("web", "nginx")).await).split('@').next(), Some("nginx"));
    }
    let log = world.webhook.log();
    let refused = log.lines().filter(|line| line.contains("refused a request")).count();
    assert!(refused >= 8, "{refused} of 8 are in the log");
}

#[tokio::test]
async fn with_berth_gone_its_failure_policy_ignore_lets_pods_through() {
    let world = world().await;
    let cluster = world.cluster;
    let settings = docker_hub_at(&world.registry.endpoint());
    let (webhook, namespace) = webhook(cluster, "killed", &settings).await;
    assert_ne!(image(&namespace.create(&pod("before", "nginx")).await), "nginx");
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client().await.unwrap());
    let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    let patch = Patch::<Value>::Json(serde_json::from_value(ignore).unwrap());
    configurations.patch("zz-berth-killed", &PatchParams::default(), &patch).await.unwrap();
    drop(webhook);
    let after = until("the API server knows the failure policy", LIMIT, async || {
        namespace.try_create(&pod("after", "nginx"), false).await
    });
    assert_eq!(image(&after.await.unwrap()), "nginx");
}

/// A webhook of its own, with the namespace that it is registered for. It is called `name`, as the namespace is.
pub(super) async fn webhook(cluster: &'static Cluster, name: &'static str, settings: &str) -> (Webhook, Namespace) {
    let webhook = Webhook::start(cluster, &Options { only: Some(name), ..Options::new(settings) }).await.unwrap();
    (webhook, Namespace::new(cluster, name, &opted_in(Some(name))).await)
}

/// A registry, and the way to it, which is closed: nobody else gets that port meanwhile.
async fn registry_that_is_down() -> (Registry, FaultProxy) {
    let registry = Registry::start().await.unwrap();
    let door = FaultProxy::start(registry.endpoint(), None).unwrap();
    door.set(Fault::Refuse).await.unwrap();
    (registry, door)
}

/// How the API server reaches the webhook `only`.
async fn client_config(cluster: &Cluster, only: &str) -> WebhookClientConfig {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client().await.unwrap());
    let configuration = configurations.get(&format!("zz-berth-{only}")).await.unwrap();
    configuration.webhooks.unwrap().remove(0).client_config
}

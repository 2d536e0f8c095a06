//! Whose Pods are changed, and whose never.

use super::*;

#[tokio::test]
async fn only_namespaces_that_opted_in_are_changed() {
    let world = world().await;
    let namespace = Namespace::new(world.cluster, "plain", &[(ONLY, "world")]).await;
    // Labels do not help where the cluster needs Pods to start without Berth, or Berth itself.
    for forbidden in ["kube-system", "kube-node-lease", "berth-system"] {
        namespace.kubectl(&["label", "namespace", forbidden, ENABLED, "berth-tests/only=world"], "").await;
    }
    let pod = restricted("web", "nginx");
    assert_eq!(image(&namespace.dry_run(&pod).await), "nginx");

    namespace.kubectl(&["label", "namespace", "plain", ENABLED], "").await;
    let pinned = format!("nginx@{}", world.digest("library/nginx:latest"));
    until("the label is seen", LIMIT, async || {
        let stored = namespace.try_create(&pod, true).await?;
        ensure!(image(&stored) == pinned, "{stored}");
        Ok(())
    })
    .await
    .unwrap();
    // By then the labels before it have been seen as well.
    for forbidden in ["kube-system", "kube-node-lease", "berth-system"] {
        let pods = world.cluster.pods(forbidden).await.unwrap();
        let untouched = Namespace { cluster: world.cluster, name: forbidden, pods };
        untouched.service_account().await;
        assert_eq!(image(&untouched.dry_run(&pod).await), "nginx", "{forbidden}");
    }
}

#[tokio::test]
async fn observing_says_what_would_happen_and_changes_nothing() {
    let world = world().await;
    let labels = [("berth.dev/admission", "observe"), (ONLY, "world")];
    let namespace = Namespace::new(world.cluster, "observed", &labels).await;
    let containers = json!([
        {"name": "main", "image": "nginx"},
        {"name": "gone", "image": "docker.io/library/gone:latest"},
    ]);
    let pod = pod_with("web", &json!({"containers": containers}));
    let (_, warnings) = namespace.kubectl(&["apply", "-f", "-"], &pod.to_string()).await;
    assert!(warnings.contains("berth: gone: not pinned"), "{warnings}");
    let stored = namespace.pod().await;
    assert_eq!(image(&stored), "nginx");
    assert!(!stored["metadata"].to_string().contains("\"berth.dev/"), "{stored}");
    let metrics = world.webhook.status("/metrics").await.unwrap();
    let observed = metrics.lines().find(|line| line.starts_with("berth_reviews_total{outcome=\"observed\"}"));
    assert!(observed.is_some(), "{metrics}");
}

#[tokio::test]
async fn a_pod_or_its_namespace_may_opt_out_by_annotation() {
    let world = world().await;
    let namespace = world.namespace("skipped").await;
    let mut skips = pod("web", "nginx");
    skips["metadata"]["annotations"] = json!({"berth.dev/skip": "pin"});
    assert_eq!(image(&namespace.create(&skips).await), "nginx");

    let plain = pod("other", "nginx");
    assert_ne!(image(&namespace.dry_run(&plain).await), "nginx");
    namespace.kubectl(&["annotate", "namespace", "skipped", "berth.dev/skip=pin"], "").await;
    until("the annotation is seen", LIMIT, async || {
        let stored = namespace.try_create(&plain, true).await?;
        ensure!(image(&stored) == "nginx", "{stored}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_api_object_of_a_static_pod_is_left_alone() {
    let world = world().await;
    let namespace = world.namespace("static").await;
    let mut mirror = pod("web", "nginx");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    mirror["spec"]["nodeName"] = json!("any");
    let stored = namespace.create(&mirror).await;
    assert_eq!((image(&stored), notes(&stored)), ("nginx", ""));
}

/// A Pod that the strictest Pod security lets pass.
fn restricted(name: &str, image: &str) -> Value {
    let context = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    pod_with(name, &json!({"containers": [{"name": "main", "image": image, "securityContext": context}]}))
}

impl Namespace {
    /// Waits until Pods can be created; controllers make the account of namespaces that no test has made.
    async fn service_account(&self) {
        let arguments = ["wait", "--for=create", "serviceaccount/default", "--timeout=30s"];
        self.kubectl(&arguments, "").await;
    }
}

const ENABLED: &str = "berth.dev/admission=enabled";

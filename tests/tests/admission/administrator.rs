//! A cluster whose administrator has switched on more: the admission plugin `AlwaysPullImages`, and an audit log.

use std::fs;

use berth_tests::cluster;

use super::{failures::webhook, *};

#[tokio::test]
async fn what_berth_pins_stays_always_where_everything_is_always_pulled_and_the_audit_log_tells() {
    let world = world().await;
    let folder = tempfile::tempdir().unwrap();
    let [policy, log] = ["policy.yaml", "audit.log"].map(|name| folder.path().join(name));
    let rule = r#"{level: Metadata, verbs: [create], resources: [{group: "", resources: [pods]}]}"#;
    fs::write(
        &policy,
        format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{rule}]\n"),
    )
    .unwrap();
    let options = cluster::Options {
        api_server: vec![
            "--enable-admission-plugins=NodeRestriction,AlwaysPullImages".to_owned(),
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", log.display()),
        ],
        only_api_server: true,
        ..cluster::Options::default()
    };
    // Never dropped, so ended with the process: its namespace is borrowed for as long.
    let cluster = Box::leak(Box::new(Cluster::start_with(&options).await.unwrap()));
    let settings = docker_hub_at(&world.registry.endpoint());
    let (_webhook, namespace) = webhook(cluster, "always", &settings).await;
    let containers = json!([
        {"name": "main", "image": "nginx", "imagePullPolicy": "IfNotPresent"},
        // The plugin comes before webhooks: `Never` never arrives.
        {"name": "never", "image": "busybox:latest", "imagePullPolicy": "Never"},
        {"name": "gone", "image": "docker.io/library/gone:latest"},
    ]);
    let stored = namespace.create(&pod_with("web", &json!({"containers": containers}))).await;
    let containers = stored["spec"]["containers"].as_array().unwrap();
    let nginx = format!("nginx@{}", world.digest("library/nginx:latest"));
    assert_eq!(containers[0]["image"], nginx);
    assert_eq!(containers[1]["image"], format!("busybox:latest@{}", world.digest("library/busybox:latest")));
    assert!(containers.iter().all(|container| container["imagePullPolicy"] == "Always"), "{containers:?}");
    assert_eq!(stored["spec"].get("affinity"), None);

    let annotations = audited(&log, "always").await;
    let done = annotations["mutate.berth.dev/done"].as_str().unwrap_or_else(|| panic!("{annotations}"));
    assert!(done.contains(&format!("main: nginx -> {nginx}")), "{done}");
    assert!(annotations["mutate.berth.dev/notes"].as_str().unwrap().starts_with("gone: not pinned"), "{annotations}");
}

/// The annotations of the one Pod that was made in `namespace`, once they are written.
async fn audited(log: &std::path::Path, namespace: &str) -> Value {
    until("the audit log has the Pod", LIMIT, async || {
        let text = fs::read_to_string(log)?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let event = events.find(|event| event["objectRef"]["namespace"] == namespace);
        event.map(|event| event["annotations"].clone()).context("it is not there")
    })
    .await
    .unwrap()
}

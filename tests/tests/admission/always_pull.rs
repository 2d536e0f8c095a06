//! A cluster whose administrator has switched on the admission plugin `AlwaysPullImages`.

use berth_tests::cluster;

use super::{failures::webhook, *};

#[tokio::test]
async fn what_berth_pins_stays_always_where_everything_is_always_pulled() {
    let world = world().await;
    let options = cluster::Options {
        api_server: vec!["--enable-admission-plugins=NodeRestriction,AlwaysPullImages".to_owned()],
        only_api_server: true,
    };
    // Never dropped, so ended with the process: the webhook's namespace is borrowed for as long.
    let cluster = Box::leak(Box::new(Cluster::start_with(&options).await.unwrap()));
    let settings = docker_hub_at(&world.registry.endpoint());
    let (_webhook, namespace) = webhook(cluster, "always", &settings).await;
    let containers = json!([
        {"name": "main", "image": "nginx", "imagePullPolicy": "IfNotPresent"},
        // The plugin comes before webhooks: `Never` never arrives.
        {"name": "never", "image": "busybox:latest", "imagePullPolicy": "Never"},
    ]);
    let stored = namespace.create(&pod_with("web", &json!({"containers": containers}))).await;
    let containers = stored["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers[0]["image"], format!("nginx@{}", world.digest("library/nginx:latest")));
    assert_eq!(containers[1]["image"], format!("busybox:latest@{}", world.digest("library/busybox:latest")));
    assert!(containers.iter().all(|container| container["imagePullPolicy"] == "Always"), "{containers:?}");
    assert_eq!(stored["spec"].get("affinity"), None);
}

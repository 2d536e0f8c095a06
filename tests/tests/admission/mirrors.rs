//! Images that come from a mirror, where it has them.

use super::{failures::webhook, *};

#[tokio::test]
async fn a_mirror_serves_what_it_has_and_the_source_the_rest() {
    let world = world().await;
    let mirror = Registry::start().await.unwrap();
    // The same content has the same digest.
    let nginx = mirror.push_index("hub/library/nginx", "any", "library/nginx:latest").await.unwrap();
    assert_eq!(nginx, world.digest("library/nginx:latest"));
    // An older build under the same tag never wins.
    mirror.push("hub/library/nginx", "latest", "older").await.unwrap();
    let settings = settings(&world.registry, &mirror, "");
    let (_webhook, namespace) = webhook(world.cluster, "mirrored", &settings).await;
    let containers = json!([{"name": "main", "image": "nginx:latest"}, {"name": "other", "image": "busybox"}]);
    let stored = namespace.create(&pod_with("web", &json!({"containers": containers}))).await;
    assert_eq!(image(&stored), format!("{}/hub/library/nginx:latest@{nginx}", mirror.host()));
    let busybox = world.digest("library/busybox:latest");
    assert_eq!(stored["spec"]["containers"][1]["image"], format!("busybox@{busybox}"));
    assert!(notes(&stored).starts_with("other: not mirrored"), "{}", notes(&stored));
}

#[tokio::test]
async fn a_mirror_that_is_down_leaves_the_pin_that_was_obtained() {
    let world = world().await;
    let mut mirror = Registry::start().await.unwrap();
    mirror.stop();
    let settings = settings(&world.registry, &mirror, "");
    let (_webhook, namespace) = webhook(world.cluster, "mirror-down", &settings).await;
    let stored = namespace.create(&pod("web", "nginx")).await;
    assert_eq!(image(&stored), format!("nginx@{}", world.digest("library/nginx:latest")));
    assert!(notes(&stored).contains(&format!("not mirrored: {}: ", mirror.host())), "{}", notes(&stored));
}

#[tokio::test]
async fn a_mirror_without_a_way_back_to_the_source_denies_what_it_does_not_have() {
    let world = world().await;
    let mirror = Registry::start().await.unwrap();
    let settings = settings(&world.registry, &mirror, ", resolve: mirror, fallback: deny");
    let (_webhook, namespace) = webhook(world.cluster, "mirror-deny", &settings).await;
    let denied = namespace.try_create(&pod("web", "nginx"), false).await.unwrap_err().to_string();
    assert!(denied.contains("main: no mirror has image nginx"), "{denied}");
    let digest = mirror.push("hub/library/nginx", "latest", "ours").await.unwrap();
    let stored = namespace.create(&pod("web", "nginx")).await;
    assert_eq!(image(&stored), format!("{}/hub/library/nginx@{digest}", mirror.host()));
}

fn settings(source: &Registry, mirror: &Registry, more: &str) -> String {
    let (hub, host, endpoint) = (source.endpoint(), mirror.host(), mirror.endpoint());
    format!(
        "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n\
         registries: [{{host: docker.io, endpoint: '{hub}'}}, {{host: '{host}', endpoint: '{endpoint}'}}]\n\
         mirror: {{rules: [{{source: docker.io, mirror: '{host}/hub'{more}}}]}}\n"
    )
}

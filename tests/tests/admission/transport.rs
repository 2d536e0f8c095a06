//! How reviews arrive: API servers speak h2 to loopback addresses and HTTP/1.1 to all others, such as Services.

use super::*;

#[tokio::test]
async fn reviews_arrive_by_h2_at_loopback() {
    let world = world().await;
    world.namespace("loopback").await.dry_run(&pod("web", "nginx")).await;
    assert_eq!(protocols(&world.webhook), ["Http2"]);
}

#[tokio::test]
async fn reviews_arrive_by_http_1_elsewhere() {
    let world = world().await;
    let settings = docker_hub_at(&world.registry.endpoint());
    let options = Options { only: Some("elsewhere"), host: world.cluster.other_address(), ..Options::new(&settings) };
    let webhook = Webhook::start(world.cluster, &options).await.unwrap();
    let namespace = Namespace::new(world.cluster, "elsewhere", &opted_in(options.only)).await;
    let stored = namespace.create(&pod("web", "nginx")).await;
    assert_eq!(image(&stored), format!("nginx@{}", world.digest("library/nginx:latest")));
    assert_eq!(protocols(&webhook), ["Http1"]);
}

/// What was negotiated on the connections that the webhook has logged so far, each protocol once.
fn protocols(webhook: &Webhook) -> Vec<String> {
    let log = webhook.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut protocols: Vec<_> = lines.filter_map(|line| Some(line["protocol"].as_str()?.to_owned())).collect();
    protocols.sort();
    protocols.dedup();
    protocols
}

//! What runs on real nodes. One cluster for all that is looked at here: it costs ten seconds.

use std::{
    net::Ipv4Addr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use berth_tests::{
    cluster::Cluster,
    image::Image,
    kubelet::{Kubelet, Kubelets},
    registry::{self, Registry},
    wait::until,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::block_on;

/// The tests, by name.
pub(crate) const ALL: &[(&str, fn())] = &[("running::pods_images_logs_and_services_are_real", real)];

fn real() {
    block_on(async {
        let began = Instant::now();
        let nodes = Kubelets::start(&["node-a", "node-b"]).await?;
        println!("two nodes are ready after {:.1} s", began.elapsed().as_secs_f64());
        imported(&nodes).await?;
        pulled(&nodes).await?;
        kubelet_dies(&nodes).await?;
        let began = Instant::now();
        drop(nodes);
        println!("all is gone after {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    });
}

/// An image that one node has: its Pod runs there and says its build in every way, and on the other it cannot.
async fn imported(nodes: &Kubelets) -> anyhow::Result<()> {
    let (cluster, a, b) = (nodes.cluster(), nodes.node("node-a"), nodes.node("node-b"));
    let image = Image::of("build 1").await?;
    a.import(&image, &["app:dev"]).await?;
    b.import_as_kind_does(&image, &["other:dev"]).await?;
    ensure!(b.held().await?.iter().any(|name| name == "docker.io/library/other:dev"), "{:?}", b.held().await?);
    let imported = Instant::now();
    pod(cluster, a, "here", "app:dev", "Never").await?;
    pod(cluster, b, "there", "app:dev", "Never").await?;
    let pod = running(cluster, "here").await?;
    waits(cluster, "there", "ErrImageNeverPull").await?;
    ensure!(pod_image_id(&pod) == Some(&image.id()), "{:?}", pod.status);

    until("kubectl logs has the build", LIMIT, async || {
        let logs = cluster.kubectl(&["logs", "here"], "").await?;
        let text = [logs.stdout, logs.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        ensure!(text == "build 1\n", "it says {text}");
        Ok(())
    })
    .await?;
    let address: Ipv4Addr =
        pod.status.context("a Pod that runs has a status")?.pod_ip.context("and an address")?.parse()?;
    says(&format!("http://{address}:8080"), "build 1").await?;
    service(cluster).await?;
    // By kube-proxy on both nodes, wherever the Pod is; from this machine, and from a node as `localhost`.
    for node in nodes.nodes() {
        says(&format!("http://{}:30080", node.address()), "build 1").await?;
        until(&format!("localhost on {} is the Service", node.name()), LIMIT, async || {
            let fetched = node.run_there("bash", &["-c", FETCH]).await?;
            let text = String::from_utf8_lossy(&fetched.stdout).into_owned();
            ensure!(text.ends_with("build 1"), "{text} {}", String::from_utf8_lossy(&fetched.stderr));
            Ok(())
        })
        .await?;
    }
    for (node, name) in [(a, "docker.io/library/app:dev"), (b, "docker.io/library/other:dev")] {
        listed(cluster, node, |names| names.iter().any(|listed| listed == name)).await?;
    }
    println!("both imports are listed after {:.1} s", imported.elapsed().as_secs_f64());
    let kinds = b.listed(cluster).await?.into_iter().find(|names| names.iter().any(|name| name.contains("other:dev")));
    let kinds = kinds.context("it is listed")?;
    ensure!(kinds.len() == 2 && kinds[0].starts_with("docker.io/library/import-"), "kind's way gives {kinds:?}");
    let entered =
        Command::new(nodes.enter()?).args(["node-b", "ctr", "-n", "k8s.io", "images", "ls", "-q"]).output()?;
    let held = String::from_utf8_lossy(&entered.stdout).into_owned();
    ensure!(held.contains("docker.io/library/other:dev"), "{held} {}", String::from_utf8_lossy(&entered.stderr));
    a.import(&image, &["gone:dev"]).await?;
    a.remove_image("docker.io/library/gone:dev").await?;
    ensure!(!a.held().await?.iter().any(|name| name.contains("gone")), "{:?}", a.held().await?);
    Ok(())
}

/// A registry that the nodes reach by another name, and a name that they do not know.
async fn pulled(nodes: &Kubelets) -> anyhow::Result<()> {
    let address = format!("{}:5000", nodes.address());
    let options = registry::Options { address: Some(&address), ..registry::Options::default() };
    let registry = Registry::start_with(&options).await?;
    nodes.registry_at("localhost:5001", &registry.endpoint())?;
    let image = Image::of("build 2").await?;
    let digest = registry.push_image("app", "v1", &image).await?;
    let (cluster, node) = (nodes.cluster(), nodes.node("node-a"));
    pod(cluster, node, "pulled", "localhost:5001/app:v1", "IfNotPresent").await?;
    let pod_object = running(cluster, "pulled").await?;
    let id = pod_image_id(&pod_object).context("a Pod that runs has an image")?.clone();
    ensure!(id == format!("localhost:5001/app@{digest}"), "{id}");
    pod(cluster, node, "nowhere", "registry.kube-system.svc:5000/app:v1", "IfNotPresent").await?;
    let message = waits(cluster, "nowhere", "ErrImagePull").await?;
    println!("a name that the node does not know: {message}");
    ensure!(message.contains("no such host"), "{message}");
    Ok(())
}

/// A kubelet that crashes: Pods go on, and the node comes back.
async fn kubelet_dies(nodes: &Kubelets) -> anyhow::Result<()> {
    let (cluster, node) = (nodes.cluster(), nodes.node("node-a"));
    node.kill_kubelet()?;
    let address =
        running(cluster, "here").await?.status.and_then(|status| status.pod_ip).context("it has an address")?;
    says(&format!("http://{address}:8080"), "build 1").await?;
    node.restart()?;
    node.ready(cluster).await?;
    pod(cluster, node, "again", "app:dev", "Never").await?;
    running(cluster, "again").await?;
    // A Pod that ends takes nothing with it.
    let pods = cluster.pods("default").await?;
    pods.delete("again", &DeleteParams::default()).await?;
    until("the Pod is gone", LIMIT, async || {
        ensure!(pods.get_opt("again").await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    pod(cluster, node, "after", "app:dev", "Never").await?;
    running(cluster, "after").await.map(drop)
}

/// A Pod that is bound to `node`.
async fn pod(cluster: &Cluster, node: &Kubelet, name: &str, image: &str, policy: &str) -> anyhow::Result<()> {
    let pod = json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "nodeName": node.name(),
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "app", "image": image, "imagePullPolicy": policy }],
        },
    });
    cluster.pods("default").await?.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    Ok(())
}

async fn running(cluster: &Cluster, name: &str) -> anyhow::Result<Pod> {
    let pods = cluster.pods("default").await?;
    until(&format!("{name} runs"), LIMIT, async || {
        let pod = pods.get(name).await?;
        let state = serde_json::to_value(&pod.status)?;
        ensure!(state.pointer("/containerStatuses/0/state/running").is_some(), "{state}");
        Ok(pod)
    })
    .await
}

/// Waits until the container of the Pod waits for this reason; the message.
async fn waits(cluster: &Cluster, name: &str, reason: &str) -> anyhow::Result<String> {
    let pods = cluster.pods("default").await?;
    until(&format!("{name} waits for {reason}"), LIMIT, async || {
        let state = serde_json::to_value(pods.get(name).await?.status)?;
        let waiting = state.pointer("/containerStatuses/0/state/waiting").cloned().unwrap_or_default();
        ensure!(waiting["reason"] == reason, "{state}");
        Ok(waiting["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

fn pod_image_id(pod: &Pod) -> Option<&String> {
    Some(&pod.status.as_ref()?.container_statuses.as_ref()?.first()?.image_id)
}

/// A Service in front of the Pod `here`, at a port of every node.
async fn service(cluster: &Cluster) -> anyhow::Result<()> {
    let service: Value = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "here", "namespace": "default" },
        "spec": {
            "type": "NodePort",
            "selector": { "app": "here" },
            "ports": [{ "port": 80, "targetPort": 8080, "nodePort": 30080 }],
        },
    });
    cluster.apply(&service.to_string()).await.map(drop)
}

/// Waits until `url` answers `build`.
async fn says(url: &str, build: &str) -> anyhow::Result<()> {
    until(&format!("{url} says {build}"), LIMIT, async || {
        let text = reqwest::get(url).await?.text().await?;
        ensure!(text == build, "it says {text}");
        Ok(())
    })
    .await
}

/// Waits until an entry of the node's list is as wanted.
async fn listed(cluster: &Cluster, node: &Kubelet, wanted: impl Fn(&[String]) -> bool) -> anyhow::Result<()> {
    until(&format!("{} lists it", node.name()), LIMIT, async || {
        let listed = node.listed(cluster).await?;
        ensure!(listed.iter().any(|names| wanted(names)), "it lists {listed:?}");
        Ok(())
    })
    .await
}

/// What bash alone can fetch.
const FETCH: &str = r"exec 3<>/dev/tcp/localhost/30080 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && timeout 5 cat <&3";
/// A list of images is up to 40 s late.
const LIMIT: Duration = Duration::from_secs(60);

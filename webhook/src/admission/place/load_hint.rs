//! How to load an image, in the words of this kind of cluster.

use super::Wanted;
use crate::nodes::{NodeView, Runtime};

/// The command that puts `wanted` on nodes such as `node`.
pub(super) fn load_hint(node: Option<NodeView<'_>>, wanted: &[&Wanted]) -> String {
    let images = wanted.iter().map(|wanted| wanted.image.as_str()).collect::<Vec<_>>().join(" ");
    let id = node.and_then(|node| node.provider_id()).unwrap_or_default();
    let name = node.map_or("", |node| node.name());
    if name == "docker-desktop" {
        return "`docker build` or `docker load` it".to_owned(); // its one node uses Docker's own images
    }
    if name.starts_with("desktop-") {
        return format!("`docker save {images} | docker exec -i NODE ctr -n k8s.io images import -`");
    }
    if let Some(cluster) = id.strip_prefix("kind://").and_then(|id| id.split('/').nth(1)) {
        return match cluster {
            "kind" => format!("`kind load docker-image {images}`"),
            _ => format!("`kind load docker-image {images} --name {cluster}`"),
        };
    }
    if let Some(cluster) = k3d_cluster(name).filter(|_| id.starts_with("k3s://")) {
        return format!("`k3d image import {images} -c {cluster}`");
    }
    if id.starts_with("k3s://") {
        return "`k3s ctr images import FILE` on a node".to_owned();
    }
    if node.and_then(|node| node.label("minikube.k8s.io/name")).is_some() {
        return format!("`minikube image load {images}`");
    }
    match node.map(|node| node.runtime()).unwrap_or_default() {
        Runtime::Containerd | Runtime::Other => "`ctr -n k8s.io images import FILE` on a node".to_owned(),
        Runtime::Docker => "`docker load -i FILE` on a node".to_owned(),
        Runtime::CriO => "`podman load -i FILE` on a node".to_owned(),
    }
}

/// `mine` of a node called `k3d-mine-agent-0`.
fn k3d_cluster(node: &str) -> Option<&str> {
    let (rest, number) = node.strip_prefix("k3d-")?.rsplit_once('-')?;
    let (cluster, role) = rest.rsplit_once('-')?;
    let is_node = number.bytes().all(|digit| digit.is_ascii_digit()) && matches!(role, "server" | "agent");
    is_node.then_some(cluster)
}

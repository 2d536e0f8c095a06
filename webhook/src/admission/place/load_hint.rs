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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        admission::select::PullPolicy,
        nodes::{Index, Now},
    };

    #[test]
    fn hints_speak_the_language_of_the_cluster() {
        let hint = |name: &str, id: &str, runtime: &str, label: &str| {
            let change = json!({
                "metadata": { "labels": { label: "x" } },
                "spec": { "providerID": id },
                "status": { "nodeInfo": { "containerRuntimeVersion": runtime } },
            });
            let mut node = change;
            node["metadata"]["name"] = json!(name);
            let index = Index::from_nodes([serde_json::from_value(node).unwrap()], 50, Now::read());
            let (about, image, policy) = ("main".to_owned(), "app:dev".parse().unwrap(), PullPolicy::Never);
            load_hint(index.get(name), &[&Wanted { about, image, policy, required: true }])
        };
        let containerd = "containerd://2.1.4";
        assert_eq!(hint("w", "kind://docker/kind/w", containerd, "l"), "`kind load docker-image app:dev`");
        assert_eq!(hint("w", "kind://docker/two/w", containerd, "l"), "`kind load docker-image app:dev --name two`");
        assert_eq!(hint("w", "k3s://w", containerd, "l"), "`k3s ctr images import FILE` on a node");
        assert_eq!(
            hint("k3d-my-lab-agent-0", "k3s://k3d-my-lab-agent-0", containerd, "l"),
            "`k3d image import app:dev -c my-lab`"
        );
        assert_eq!(hint("docker-desktop", "", "docker://28", "l"), "`docker build` or `docker load` it");
        assert_eq!(
            hint("desktop-worker", "kind://docker/desktop/desktop-worker", containerd, "l"),
            "`docker save app:dev | docker exec -i NODE ctr -n k8s.io images import -`"
        );
        assert_eq!(hint("minikube", "", "docker://28", "minikube.k8s.io/name"), "`minikube image load app:dev`");
        assert_eq!(hint("w", "aws:///a/i-0", containerd, "l"), "`ctr -n k8s.io images import FILE` on a node");
        assert_eq!(hint("w", "", "docker://28", "l"), "`docker load -i FILE` on a node");
        assert_eq!(hint("w", "", "cri-o://1.34", "l"), "`podman load -i FILE` on a node");
    }
}

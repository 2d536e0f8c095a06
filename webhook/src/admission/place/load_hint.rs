//! How to load an image, in the words of this kind of cluster.

use super::Wanted;
use crate::{
    load::via::{DOCKER_DESKTOP, Facts, Preset, k3d_cluster},
    nodes::{NodeView, Runtime},
};

/// The commands that put `wanted` on nodes such as `node`: the one that people know, then Berth's own, which tells Berth.
pub(super) fn load_hint(node: Option<NodeView<'_>>, wanted: &[&Wanted]) -> String {
    let images: Vec<&str> = wanted.iter().map(|wanted| wanted.image.as_str()).collect();
    let provider_id = node.and_then(|node| node.provider_id()).unwrap_or_default();
    let name = node.map_or("", |node| node.name());
    if name == DOCKER_DESKTOP {
        return "`docker build` or `docker load` it".to_owned(); // its one node uses Docker's own images
    }
    if node.and_then(|node| node.label("minikube.k8s.io/name")).is_some() {
        return format!("`minikube image load {}`", images.join(" "));
    }
    let preset = Preset::detect(Facts { name, provider_id, here: false });
    // One image a call.
    let image = if let [image] = images.as_slice() { image } else { "IMAGE" };
    let own = match preset {
        Some(_) => format!("`berth load {image}`"),
        None => format!("`berth load {image} --via COMMAND`"),
    };
    if preset == Some(Preset::K3d) && k3d_cluster(name).is_none() {
        return own; // k3d asks for the cluster's name, which nothing tells
    }
    format!("{} or {own}", usual(node, name, provider_id, &images.join(" ")))
}

/// Without Berth.
fn usual(node: Option<NodeView<'_>>, name: &str, id: &str, images: &str) -> String {
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
    match node.map(|node| node.runtime()).unwrap_or_default() {
        Runtime::Containerd | Runtime::Other => "`ctr -n k8s.io images import FILE` on a node".to_owned(),
        Runtime::Docker => "`docker load -i FILE` on a node".to_owned(),
        Runtime::CriO => "`podman load -i FILE` on a node".to_owned(),
    }
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
        let own = "or `berth load app:dev`";
        let check = |hint: String, want: &str| assert_eq!(hint, want);
        check(hint("w", "kind://docker/kind/w", containerd, "l"), &format!("`kind load docker-image app:dev` {own}"));
        let two = format!("`kind load docker-image app:dev --name two` {own}");
        check(hint("w", "kind://docker/two/w", containerd, "l"), &two);
        check(hint("w", "k3s://w", containerd, "l"), &format!("`k3s ctr images import FILE` on a node {own}"));
        let k3d = format!("`k3d image import app:dev -c my-lab` {own}");
        check(hint("k3d-my-lab-agent-0", "k3s://k3d-my-lab-agent-0", containerd, "l"), &k3d);
        check(hint("k3d-more-0", "k3s://k3d-more-0", containerd, "l"), "`berth load app:dev`");
        check(hint("docker-desktop", "", "docker://28", "l"), "`docker build` or `docker load` it");
        let desktop = format!("`docker save app:dev | docker exec -i NODE ctr -n k8s.io images import -` {own}");
        check(hint("desktop-worker", "kind://docker/desktop/desktop-worker", containerd, "l"), &desktop);
        check(hint("minikube", "", "docker://28", "minikube.k8s.io/name"), "`minikube image load app:dev`");
        let own = "or `berth load app:dev --via COMMAND`";
        let machine = format!("`ctr -n k8s.io images import FILE` on a node {own}");
        check(hint("w", "aws:///a/i-0", containerd, "l"), &machine);
        check(hint("w", "", "docker://28", "l"), &format!("`docker load -i FILE` on a node {own}"));
        check(hint("w", "", "cri-o://1.34", "l"), &format!("`podman load -i FILE` on a node {own}"));
    }
}

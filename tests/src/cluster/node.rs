//! Nodes without kubelets: Node objects that say what a test wants them to say.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::Cluster;
use crate::wait::until;

/// A node as it will be written: ready, with room for everything, containerd, and the label `kubernetes.io/hostname`.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    images: Vec<Vec<String>>,
    labels: Vec<(String, String)>,
    runtime: String,
    architecture: String,
}

impl Node {
    /// A node without images.
    pub fn new(name: &str) -> Self {
        let labels = [("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")];
        Self {
            name: name.to_owned(),
            images: Vec::new(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            runtime: "containerd://2.4.2".to_owned(),
            architecture: "amd64".to_owned(),
        }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of each image that it lists.
    pub fn images(&self) -> &[Vec<String>] {
        &self.images
    }

    /// Lists one more image, by `names` as the kubelet would write them: digests first, then tags, all normalised.
    #[must_use]
    pub fn image(mut self, names: &[&str]) -> Self {
        self.images.push(names.iter().copied().map(str::to_owned).collect());
        self
    }

    /// Sets a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.retain(|(known, _)| known != key);
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets the runtime, such as `cri-o://1.36.0`.
    #[must_use]
    pub fn runtime(mut self, version: &str) -> Self {
        version.clone_into(&mut self.runtime);
        self
    }

    /// Sets the architecture, such as `arm64`.
    #[must_use]
    pub fn architecture(mut self, name: &str) -> Self {
        name.clone_into(&mut self.architecture);
        self.label("kubernetes.io/arch", name)
    }

    fn object(&self) -> Value {
        let labels: serde_json::Map<_, _> =
            self.labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let spec = json!({ "taints": [{ "key": UNWRITTEN, "effect": "NoSchedule" }] });
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.name, "labels": labels }, "spec": spec })
    }

    fn status(&self) -> Value {
        let resources = json!({ "cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti" });
        json!({ "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "Written", "message": "by a test" }],
            "nodeInfo": {
                "containerRuntimeVersion": self.runtime,
                "architecture": self.architecture,
                "operatingSystem": "linux",
                "bootID": "",
                "kernelVersion": "",
                "kubeProxyVersion": "",
                "kubeletVersion": "v1.36.3",
                "machineID": "",
                "osImage": "",
                "systemUUID": "",
            },
            "images": images(self.images.iter()),
        } })
    }
}

impl Cluster {
    /// Creates `node` and waits until Pods can be bound to it.
    pub async fn add(&self, node: &Node) -> anyhow::Result<()> {
        let nodes: Api<v1::Node> = Api::all(self.client().await?);
        nodes.create(&PostParams::default(), &serde_json::from_value(node.object())?).await?;
        nodes.patch_status(&node.name, &PatchParams::default(), &Patch::Merge(node.status())).await?;
        // The API server, too, taints every new node, as not ready; removing that is work of the controllers, if there are
        // any.
        let untainted = json!({ "spec": { "taints": null } });
        until(&format!("{} has no taint", node.name), TAINT_LIMIT, async || {
            nodes.patch(&node.name, &PatchParams::default(), &Patch::Merge(&untainted)).await?;
            let taints = nodes.get(&node.name).await?.spec.and_then(|spec| spec.taints).unwrap_or_default();
            ensure!(taints.is_empty(), "its taints are {taints:?}");
            Ok(())
        })
        .await
    }

    /// Changes the list of images of `node`: each image by its names.
    pub async fn set_images(&self, node: &str, list: &[&[&str]]) -> anyhow::Result<()> {
        let nodes: Api<v1::Node> = Api::all(self.client().await?);
        let status = json!({ "status": { "images": images(list) } });
        nodes.patch_status(node, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }
}

/// Entries of `status.images`; the sizes differ, as those of different images do.
fn images<Names: serde::Serialize>(list: impl IntoIterator<Item = Names>) -> Value {
    let entry = |(index, names)| json!({ "names": names, "sizeBytes": 1_000_000 + index });
    (0_u32..).zip(list).map(entry).collect()
}

/// Keeps everybody off a node that does not list its images yet: it takes a second request to write them.
const UNWRITTEN: &str = "berth-tests/unwritten";
const TAINT_LIMIT: Duration = Duration::from_secs(20);

//! The nodes of the demo: real ones where this machine lets us have them, else Node objects that list chosen images.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::sync::Mutex;

use super::pod::{End, Seen};
use crate::{
    berth,
    cluster::{self, Cluster},
    image::Image,
    kubelet::Kubelets,
    outcome,
    registry::{Options, Registry},
    wait::until,
};

/// The nodes, and the cluster that they are part of.
pub(super) enum Nodes {
    /// Kubelets: what becomes of a Pod is seen.
    Real { kubelets: Kubelets, http: reqwest::Client },
    /// Objects: a Pod is bound to them, and what a kubelet would do with it is told. Their lists are changed one by one.
    Written { cluster: Cluster, lists: Mutex<()> },
}

impl Nodes {
    /// Starts the cluster and both nodes.
    pub(super) async fn start(real: bool) -> anyhow::Result<Self> {
        if real {
            let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
            return Ok(Self::Real { kubelets: Kubelets::start(&NAMES).await?, http });
        }
        let cluster = Cluster::start().await?;
        for name in NAMES {
            // An empty list would mean that nothing is known yet.
            cluster.add(&cluster::Node::new(name).image(SANDBOX)).await?;
        }
        Ok(Self::Written { cluster, lists: Mutex::default() })
    }

    /// The control plane.
    pub(super) fn cluster(&self) -> &Cluster {
        match self {
            Self::Real { kubelets, .. } => kubelets.cluster(),
            Self::Written { cluster, .. } => cluster,
        }
    }

    /// Whether Pods run.
    pub(super) fn are_real(&self) -> bool {
        matches!(self, Self::Real { .. })
    }

    /// The one registry, which plays several: real nodes find it by all their names.
    pub(super) async fn registry(&self) -> anyhow::Result<Registry> {
        let Self::Real { kubelets, .. } = self else { return Registry::start().await };
        let address = format!("{}:{REGISTRY_PORT}", kubelets.address());
        let registry = Registry::start_with(&Options { address: Some(&address), ..Options::default() }).await?;
        for host in ["localhost:5001", "harbor.local", "docker.io"] {
            kubelets.registry_at(host, &registry.endpoint())?;
        }
        let service = SERVICE.replace("ADDRESS", &kubelets.address().to_string());
        kubelets.cluster().apply(&service.replace("PORT", &REGISTRY_PORT.to_string())).await?;
        Ok(registry)
    }

    /// `ctr images import` on one node. The node lists it half a minute later: wait for [`listed`](Self::listed).
    pub(super) async fn import(&self, node: &str, name: &str, build: &str) -> anyhow::Result<()> {
        match self {
            Self::Real { kubelets, .. } => kubelets.node(node).import(&Image::of(build).await?, &[name]).await,
            Self::Written { cluster, lists } => list(cluster, lists, node, vec![full(name)]).await,
        }
    }

    /// Lets a kubelet pull `image`, which the registry has as `digest`.
    pub(super) async fn pull(&self, node: &str, image: &str, digest: &str) -> anyhow::Result<()> {
        let (kubelets, http) = match self {
            Self::Real { kubelets, http } => (kubelets, http),
            Self::Written { cluster, lists } => {
                let (repository, _) = image.rsplit_once(':').context("a tag")?;
                return list(cluster, lists, node, vec![format!("{repository}@{digest}"), image.to_owned()]).await;
            }
        };
        let pods = kubelets.cluster().pods("default").await?;
        let name = format!("pulls-on-{node}");
        let container = json!({ "name": "app", "image": image, "imagePullPolicy": "IfNotPresent" });
        let spec = json!({ "nodeName": node, "containers": [container] });
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        let pulled = async || outcome::of(http, &pods.get(&name).await?).await;
        let pulled = until(&format!("{node} has pulled {image}"), LIST_LIMIT, pulled).await?;
        ensure!(matches!(pulled.end, outcome::End::Runs(_)), "{node} cannot pull {image}: {pulled:?}");
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// Waits until the node lists what was imported.
    pub(super) async fn listed(&self, node: &str, name: &str) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.cluster().client().await?);
        until(&format!("{node} lists {name}"), LIST_LIMIT, async || {
            let images = nodes.get(node).await?.status.and_then(|status| status.images).unwrap_or_default();
            let mut names = images.iter().filter_map(|image| image.names.as_ref()).flatten();
            ensure!(names.any(|listed| *listed == full(name)), "it does not");
            Ok(())
        })
        .await
    }

    /// Puts a build on `nodes` by `berth load`; says that it was put there, by `berth loaded`, where nodes have nothing to
    /// put it into. Returns the command.
    pub(super) async fn load(&self, name: &str, build: &str, only: Option<&'static str>) -> anyhow::Result<String> {
        let image = Image::of(build).await?;
        let nodes = only.map_or(NAMES.to_vec(), |node| vec![node]);
        let command = match self {
            Self::Real { kubelets, .. } => {
                berth::load(kubelets, &image, name, only).await?;
                "load"
            }
            Self::Written { cluster, .. } => {
                berth::loaded(cluster, &image.id(), name, &nodes).await?;
                "loaded"
            }
        };
        let nodes: Vec<_> = nodes.iter().map(|node| format!(" --node {node}")).collect();
        let which = if only.is_some() || command == "loaded" { nodes.concat() } else { String::new() };
        Ok(format!("berth {command} {name}{which}"))
    }

    /// What became of `pod`.
    ///
    /// # Errors
    /// Nothing yet, and what it waits for.
    pub(super) async fn see(&self, pod: Pod) -> anyhow::Result<Seen> {
        let stored = serde_json::to_value(&pod)?;
        let end = match self {
            _ if super::pod::is_gated(&stored) => End::Waits,
            Self::Real { http, .. } => match outcome::of(http, &pod).await?.end {
                outcome::End::Runs(build) => End::Runs(build),
                outcome::End::Fails(reason, _) => End::Fails(reason),
            },
            Self::Written { .. } => {
                ensure!(stored.pointer("/spec/nodeName").is_some(), "it is neither bound nor gated");
                End::Bound
            }
        };
        Ok(Seen { stored, end })
    }
}

/// Adds an image to what a Node object lists.
async fn list(cluster: &Cluster, lists: &Mutex<()>, node: &str, names: Vec<String>) -> anyhow::Result<()> {
    let _alone = lists.lock().await;
    let nodes: Api<Node> = Api::all(cluster.client().await?);
    let images = nodes.get(node).await?.status.and_then(|status| status.images).unwrap_or_default();
    let listed = images.into_iter().filter_map(|image| image.names).chain([names]).collect::<Vec<_>>();
    let listed: Vec<Vec<&str>> = listed.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
    cluster.set_images(node, &listed.iter().map(Vec::as_slice).collect::<Vec<_>>()).await
}

/// As nodes list a short name.
fn full(name: &str) -> String {
    format!("docker.io/library/{name}")
}

/// Their names.
pub(super) const NAMES: [&str; 2] = ["node-a", "node-b"];
/// As the kubelet lists what it pulled.
const SANDBOX: &[&str] = &[
    "registry.k8s.io/pause@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a",
    "registry.k8s.io/pause:3.10",
];
const REGISTRY_PORT: u16 = 5001;
/// Of a program in a Pod.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A list of images is up to 40 s late.
const LIST_LIMIT: Duration = Duration::from_secs(90);
/// The registry as a Service of the cluster, at a port of every node; its endpoint is not a Pod.
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata:
  name: registry
  namespace: kube-system
spec:
  type: NodePort
  ports: [{ port: 5000, targetPort: PORT, nodePort: 30500 }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: registry
  namespace: kube-system
  labels: { kubernetes.io/service-name: registry }
addressType: IPv4
ports: [{ port: PORT }]
endpoints: [{ addresses: [ADDRESS] }]
";

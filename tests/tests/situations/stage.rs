//! What all situations share: two nodes, the registries around them, and Berth in its two profiles.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth::{self, Controller, Webhook},
    kubelet::{Kubelet, Kubelets},
    registry::{self, Registry},
    tunnel::Tunnel,
    wait::until,
};
use k8s_openapi::api::core::v1::{ContainerImage, Node};
use kube::Api;

/// Everything that runs. Fields are ended in this order.
pub(crate) struct Stage {
    _berth: (Controller, [Webhook; 2]),
    /// kind's: `localhost:5001` to people and nodes, another address inside the cluster.
    pub(crate) local: Registry,
    /// The one inside the cluster, plain HTTP.
    pub(crate) internal: Registry,
    /// The private mirror.
    pub(crate) harbor: Registry,
    /// Docker Hub, as Berth reaches it: by its name, through a proxy.
    pub(crate) hub: Registry,
    _proxy: Tunnel,
    /// Docker Hub, as nodes reach it: it lets them have little.
    pub(crate) limited_hub: Registry,
    pub(crate) nodes: Kubelets,
    /// Asks the programs in Pods.
    pub(crate) http: reqwest::Client,
}

/// Which Berth, if any, changes the Pods of a namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Berth {
    Off,
    Dev,
    Production,
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let nodes = Kubelets::start(&["node-a", "node-b"]).await?;
        let at = async |port: u16| {
            let address = format!("{}:{port}", nodes.address());
            let options = registry::Options { address: Some(&address), ..registry::Options::default() };
            Registry::start_with(&options).await
        };
        let (local, internal, harbor) = tokio::try_join!(at(5001), at(5002), at(5003))?;
        let limited_hub = at(5004).await?;
        let authority = nodes.cluster().authority();
        let name = "registry-1.docker.io";
        let options =
            registry::Options { name: Some(name), authority: Some(authority), ..registry::Options::default() };
        let hub = Registry::start_with(&options).await?;
        let proxy = Tunnel::start(&[(&format!("{name}:443"), hub.host())]).await?;
        nodes.registry_at("localhost:5001", &local.endpoint())?;
        nodes.registry_at("harbor.local", &harbor.endpoint())?;
        nodes.registry_at("docker.io", &limited_hub.endpoint())?;
        let cluster = nodes.cluster();
        cluster.apply(&LOCAL_REGISTRY.replace("ADDRESS", &local.host())).await?;
        cluster.apply(&INTERNAL_REGISTRY.replace("ADDRESS", &nodes.address().to_string())).await?;
        let fill = |settings: &str| {
            let known = [("INTERNAL", &internal), ("HARBOR", &harbor)];
            known.iter().fold([HEADER, settings].concat(), |text, (name, at)| text.replace(name, &at.endpoint()))
        };
        let berth = Self::berth(&nodes, &proxy, [fill(DEV), fill(PRODUCTION)]).await?;
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self { _berth: berth, local, internal, harbor, hub, _proxy: proxy, limited_hub, nodes, http })
    }

    /// A controller, and a webhook for each profile.
    async fn berth(
        nodes: &Kubelets,
        proxy: &Tunnel,
        [dev, production]: [String; 2],
    ) -> anyhow::Result<(Controller, [Webhook; 2])> {
        let cluster = nodes.cluster();
        let authorities = cluster.folder().write("authorities.crt", cluster.authority().certificate())?;
        let options = |configuration, only| berth::Options {
            only: Some(only),
            authorities: Some(&authorities),
            proxy: Some(proxy.url()),
            ..berth::Options::new(configuration)
        };
        // The controller first: gates are added only while its heart beats.
        let controller = Controller::start(cluster, &dev).await?;
        let dev = Webhook::start(cluster, &options(&dev, "dev")).await?;
        let production = Webhook::start(cluster, &options(&production, "production")).await?;
        Ok((controller, [dev, production]))
    }

    /// The node that situations bring images to.
    pub(crate) fn a(&self) -> &Kubelet {
        self.nodes.node("node-a")
    }

    /// The other one.
    pub(crate) fn b(&self) -> &Kubelet {
        self.nodes.node("node-b")
    }

    /// Waits until the node lists `name` (with all defaults), with a size other than `not`; the size.
    pub(crate) async fn listed(&self, node: &Kubelet, name: &str, not: Option<i64>) -> anyhow::Result<i64> {
        self.listed_as(node, name, |entry| {
            let size = entry.size_bytes.context("without a size")?;
            ensure!(not != Some(size), "the size is still {size}");
            Ok(size)
        })
        .await
    }

    /// Waits until the node lists `name` and `other` as names of the same image.
    pub(crate) async fn listed_beside(&self, node: &Kubelet, name: &str, other: &str) -> anyhow::Result<()> {
        self.listed_as(node, name, |entry| {
            let names = entry.names.as_deref().unwrap_or_default();
            ensure!(names.iter().any(|beside| beside == other), "beside {names:?}");
            Ok(())
        })
        .await
    }

    /// Waits until the node does not list `name` any more.
    pub(crate) async fn unlisted(&self, node: &Kubelet, name: &str) -> anyhow::Result<()> {
        until(&format!("{} does not list {name}", node.name()), LIST_LIMIT, async || {
            let listed = node.listed(self.nodes.cluster()).await?.concat();
            ensure!(!listed.iter().any(|listed| listed == name), "it does");
            Ok(())
        })
        .await
    }

    async fn listed_as<T>(
        &self,
        node: &Kubelet,
        name: &str,
        wanted: impl Fn(&ContainerImage) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let nodes: Api<Node> = Api::all(self.nodes.cluster().client().await?);
        until(&format!("{} lists {name} as wanted", node.name()), LIST_LIMIT, async || {
            let images = nodes.get(node.name()).await?.status.and_then(|status| status.images).unwrap_or_default();
            let has = |names: &Option<Vec<String>>| names.iter().flatten().any(|listed| listed == name);
            wanted(images.iter().find(|image| has(&image.names)).context("it does not")?)
        })
        .await
    }
}

/// Of a program in a Pod.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const LIST_LIMIT: Duration = Duration::from_secs(60);

/// What kind's script applies, with the address inside the cluster that it leaves out.
const LOCAL_REGISTRY: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "localhost:5001"
    hostFromClusterNetwork: "ADDRESS"
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/"
"#;
/// A Service whose endpoint is not a Pod, at a port of every node.
const INTERNAL_REGISTRY: &str = "apiVersion: v1
kind: Service
metadata:
  name: registry
  namespace: kube-system
spec:
  type: NodePort
  ports: [{ port: 5000, targetPort: 5002, nodePort: 30500 }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: registry
  namespace: kube-system
  labels: { kubernetes.io/service-name: registry }
addressType: IPv4
ports: [{ port: 5002 }]
endpoints: [{ addresses: [ADDRESS] }]
";
const HEADER: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";
/// The profile, and a name that is local without any evidence.
const DEV: &str = "
profile: dev
place:
  local: [shop]
";
/// As in the README, and where the hosts are here.
const PRODUCTION: &str = "
mirror:
  rules:
    - source: docker.io/library/easy-kanban
      mirror: localhost:30500/easy-kanban
      resolve: mirror
      fallback: deny
    - source: docker.io/library/hard-kanban
      mirror: registry.kube-system.svc:5000/hard-kanban
      resolve: mirror
      fallback: deny
    - source: docker.io
      mirror: harbor.local/dockerhub
registries:
  - host: localhost:30500
    endpoint: INTERNAL
  - host: registry.kube-system.svc:5000
    endpoint: INTERNAL
  - host: harbor.local
    endpoint: HARBOR
";

//! A cluster in the enclave, and two namespaces: one with Berth and one without.

use std::time::Duration;

use anyhow::ensure;
use berth_tests::{
    berth::{Options, Webhook, opted_in},
    cluster::{Cluster, Node},
    dns::{DnsServer, Reply},
    pki::Authority,
    registry::{self, Registry},
    wait::until,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

/// Everything that a situation needs.
pub(crate) struct Town {
    pub(crate) webhook: Webhook,
    pub(crate) cluster: Cluster,
    pub(crate) dns: DnsServer,
    /// Docker Hub, with images of strangers.
    pub(crate) hub: Registry,
    pub(crate) authority: Authority,
}

impl Town {
    /// A cluster of two nodes whose Berth has this configuration. Docker Hub is where it is: at a public address, by its
    /// own name, with a certificate that the machine's authorities vouch for.
    pub(crate) async fn new(settings: &str, nodes: &[Node]) -> Self {
        let (dns, authority) = (DnsServer::at("127.0.0.1:53").await.unwrap(), Authority::new().unwrap());
        let name = "registry-1.docker.io";
        dns.tell(name, [at("8.8.8.8")]);
        let options = registry::Options { address: Some("8.8.8.8:443"), name: Some(name), ..tls(&authority) };
        let hub = Registry::start_with(&options).await.unwrap();
        let cluster = Cluster::start().await.unwrap();
        for node in nodes {
            cluster.add(node).await.unwrap();
        }
        cluster.namespace(WITH, &opted_in(None)).await.unwrap();
        cluster.namespace(WITHOUT, &[]).await.unwrap();
        let webhook = webhook(&cluster, &authority, settings).await;
        Self { webhook, cluster, dns, hub, authority }
    }

    /// Puts a webhook with another configuration in place of the one that runs.
    pub(crate) async fn configure(&mut self, settings: &str) {
        self.webhook = webhook(&self.cluster, &self.authority, settings).await;
    }

    /// Creates a Pod of one container with Berth; what is stored.
    pub(crate) async fn pod(&self, name: &str, image: &str) -> Value {
        self.create(WITH, name, image, false).await
    }

    /// The same without Berth.
    pub(crate) async fn pod_without(&self, name: &str, image: &str) -> Value {
        self.create(WITHOUT, name, image, false).await
    }

    /// Tries, until a Pod with `image` would be stored with `wanted`.
    pub(crate) async fn becomes(&self, image: &str, wanted: &str) {
        until(&format!("{image} becomes {wanted}"), LIMIT, async || {
            let pod = self.create(WITH, "try", image, true).await;
            ensure!(self::image(&pod) == wanted, "it is {pod:#}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Tries, until a Pod with `image` would be stored as it is with `words` among its notes.
    pub(crate) async fn noted(&self, image: &str, words: &str) {
        until(&format!("{image} is noted with `{words}`"), LIMIT, async || {
            let pod = self.create(WITH, "try", image, true).await;
            ensure!(self::image(&pod) == image && notes(&pod).contains(words), "it is {pod:#}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Why a Pod with Berth is not made.
    pub(crate) async fn refused(&self, name: &str, image: &str) -> String {
        self.try_create(WITH, name, image, false).await.unwrap_err().to_string()
    }

    async fn create(&self, namespace: &str, name: &str, image: &str, dry_run: bool) -> Value {
        self.try_create(namespace, name, image, dry_run).await.unwrap()
    }

    async fn try_create(&self, namespace: &str, name: &str, image: &str, dry_run: bool) -> kube::Result<Value> {
        let pods: Api<Pod> = self.cluster.pods(namespace).await.unwrap();
        let spec = json!({ "containers": [{ "name": "main", "image": image, "imagePullPolicy": "IfNotPresent" }] });
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        let parameters = PostParams { dry_run, ..PostParams::default() };
        let stored = pods.create(&parameters, &serde_json::from_value(pod).unwrap()).await?;
        Ok(serde_json::to_value(stored).unwrap())
    }

    /// Applies a Deployment in both namespaces; the images of the `replicas` Pods, with and without Berth, once they are
    /// bound to nodes.
    pub(crate) async fn deploy(&self, name: &str, image: &str, replicas: usize) -> [Vec<String>; 2] {
        let container = json!({ "name": "main", "image": image });
        let template = json!({ "metadata": { "labels": { "app": name } }, "spec": { "containers": [container] } });
        let selector = json!({ "matchLabels": { "app": name } });
        let mut images = Vec::new();
        for namespace in [WITH, WITHOUT] {
            let metadata = json!({ "name": name, "namespace": namespace });
            let spec = json!({ "replicas": replicas, "selector": selector, "template": template });
            let deployment =
                json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec });
            self.cluster.apply(&deployment.to_string()).await.unwrap();
            images.push(self.bound(namespace, name, replicas).await);
        }
        images.try_into().unwrap()
    }

    async fn bound(&self, namespace: &str, app: &str, count: usize) -> Vec<String> {
        let pods = self.cluster.pods(namespace).await.unwrap();
        until(&format!("{count} Pods of {namespace}/{app} are bound"), LIMIT, async || {
            let pods = pods.list(&ListParams::default().labels(&format!("app={app}"))).await?.items;
            let bound = pods.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()));
            ensure!(bound.count() == count, "{} of {count} are there, not all bound", pods.len());
            Ok(pods.iter().map(|pod| image(&serde_json::to_value(pod).unwrap_or_default()).to_owned()).collect())
        })
        .await
        .unwrap()
    }
}

async fn webhook(cluster: &Cluster, authority: &Authority, settings: &str) -> Webhook {
    let authorities = cluster.folder().write("authorities.crt", authority.certificate()).unwrap();
    let configuration = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{settings}\n");
    let options = Options { authorities: Some(&authorities), ..Options::new(&configuration) };
    Webhook::start(cluster, &options).await.unwrap()
}

/// The first container's image.
pub(crate) fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap()
}

/// What Berth noted on the Pod.
pub(crate) fn notes(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap_or_default()
}

/// A registry that serves TLS.
pub(crate) fn tls(authority: &Authority) -> registry::Options<'_> {
    registry::Options { authority: Some(authority), ..registry::Options::default() }
}

/// A registry by plain HTTP.
pub(crate) async fn plain(address: &str) -> Registry {
    let options = registry::Options { address: Some(address), ..registry::Options::default() };
    Registry::start_with(&options).await.unwrap()
}

/// What a name server says of a machine.
pub(crate) fn at(address: &str) -> Reply {
    Reply::Addresses(vec![address.parse().unwrap()])
}

/// The namespace with Berth.
pub(crate) const WITH: &str = "with-berth";
/// The namespace without.
pub(crate) const WITHOUT: &str = "without-berth";
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

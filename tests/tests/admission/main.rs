//! The real `berth webhook` behind a real API server, with real controllers and a real scheduler: what is stored, what
//! people see, and what stays as it was.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]

mod administrator;
mod always_pull;
mod failures;
mod injection;
mod mirrors;
mod placement;
mod pods;
mod schema;
mod scope;
mod transport;
mod warnings;
mod workloads;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth::{ONLY, Options, Webhook, opted_in},
    cluster::Cluster,
    registry::Registry,
    wait::until,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// What most tests share: a cluster, a registry with a few images, and a webhook with little configured.
struct World {
    cluster: &'static Cluster,
    webhook: Webhook,
    registry: Registry,
    digests: BTreeMap<&'static str, String>,
}

/// The world; made by the first test that asks, ended with the process.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_try_init(World::new).await.unwrap()
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let (cluster, registry) = tokio::try_join!(Cluster::shared(), Registry::start())?;
        let mut digests = BTreeMap::new();
        for image in IMAGES {
            let (repository, tag) = image.split_once(':').context("an image has a tag")?;
            digests.insert(image, registry.push_index(repository, tag, image).await?);
        }
        let settings = docker_hub_at(&registry.endpoint());
        let webhook = Webhook::start(cluster, &Options { only: Some("world"), ..Options::new(&settings) }).await?;
        Ok(Self { cluster, webhook, registry, digests })
    }

    /// The digest of one of [`IMAGES`].
    fn digest(&self, image: &str) -> &str {
        &self.digests[image]
    }

    /// A new namespace in which the shared webhook changes Pods.
    async fn namespace(&self, name: &'static str) -> Namespace {
        Namespace::new(self.cluster, name, &opted_in(Some("world"))).await
    }
}

/// A configuration in which the images of Docker Hub come from `endpoint`, and `settings` besides.
fn configuration(endpoint: &str, settings: &str) -> String {
    let hub = format!("registries: [{{host: docker.io, endpoint: '{endpoint}'}}]");
    format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{hub}\n{settings}")
}

fn docker_hub_at(endpoint: &str) -> String {
    configuration(endpoint, "")
}

/// A namespace of one test.
struct Namespace {
    cluster: &'static Cluster,
    name: &'static str,
    pods: Api<Pod>,
}

impl Namespace {
    async fn new(cluster: &'static Cluster, name: &'static str, labels: &[(&str, &str)]) -> Self {
        cluster.namespace(name, labels).await.unwrap();
        Self { cluster, name, pods: cluster.pods(name).await.unwrap() }
    }

    /// Creates a Pod; what is stored.
    async fn create(&self, pod: &Value) -> Value {
        self.try_create(pod, false).await.unwrap()
    }

    /// What would be stored.
    async fn dry_run(&self, pod: &Value) -> Value {
        self.try_create(pod, true).await.unwrap()
    }

    async fn try_create(&self, pod: &Value, dry_run: bool) -> anyhow::Result<Value> {
        let parameters = PostParams { dry_run, ..PostParams::default() };
        let stored = self.pods.create(&parameters, &serde_json::from_value(pod.clone())?).await?;
        Ok(serde_json::to_value(stored)?)
    }

    /// Runs kubectl in this namespace, which must succeed: what it wrote, results and warnings apart.
    async fn kubectl(&self, arguments: &[&str], input: &str) -> (String, String) {
        let arguments = [&["-n", self.name], arguments].concat();
        let output = self.cluster.kubectl(&arguments, input).await.unwrap();
        let [results, warnings] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "kubectl {arguments:?}: {results}{warnings}");
        (results, warnings)
    }

    /// Applies `manifest`, and then sees no difference between it and what is stored: what tools look for that keep
    /// a cluster like a repository.
    async fn apply_without_drift(&self, manifest: &Value) {
        self.kubectl(&["apply", "-f", "-"], &manifest.to_string()).await;
        self.pod().await;
        self.kubectl(&["diff", "-f", "-"], &manifest.to_string()).await;
    }

    /// The only Pod there is, once it is there.
    async fn pod(&self) -> Value {
        self.pods(1).await.remove(0)
    }

    /// All Pods, once there are so many.
    async fn pods(&self, count: usize) -> Vec<Value> {
        let what = format!("{} has Pods", self.name);
        let pods = until(&what, LIMIT, async || {
            let pods = self.pods.list(&ListParams::default()).await?.items;
            ensure!(pods.len() == count, "there are {}", pods.len());
            Ok(pods)
        });
        pods.await.unwrap().into_iter().map(|pod| serde_json::to_value(pod).unwrap()).collect()
    }

    /// Where the scheduler puts the Pod.
    async fn node_of(&self, pod: &Value) -> String {
        self.cluster.node_of(self.name, pod["metadata"]["name"].as_str().unwrap()).await.unwrap()
    }

    /// What `kubectl describe` shows of `what`, once `text` is in it.
    async fn described(&self, what: &[&str], text: &str) -> String {
        until(&format!("kubectl describe {what:?} shows `{text}`"), LIMIT, async || {
            let (shown, _) = self.kubectl(&[&["describe"], what].concat(), "").await;
            ensure!(shown.contains(text), "{shown}");
            Ok(shown)
        })
        .await
        .unwrap()
    }
}

/// A Pod of one container.
fn pod(name: &str, image: &str) -> Value {
    pod_with(name, &json!({"containers": [{"name": "main", "image": image}]}))
}

/// A Pod of one container that is never pulled.
fn never(name: &str, image: &str) -> Value {
    pod_with(name, &json!({"containers": [{"name": "main", "image": image, "imagePullPolicy": "Never"}]}))
}

fn pod_with(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// The first container's image.
fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap()
}

/// What Berth noted on the Pod.
fn notes(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap_or_default()
}

/// What is in the registry of the world: Docker Hub, as far as the cluster knows.
const IMAGES: [&str; 4] = ["library/nginx:latest", "library/busybox:latest", "library/data:latest", "shop/app:latest"];
/// For what takes a moment; twenty times as long as it ever took.
const LIMIT: Duration = Duration::from_secs(30);

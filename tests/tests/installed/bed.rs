//! What all experiments share: two nodes with Berth's image, Berth installed there, a registry, and the load.

use std::{
    env,
    net::IpAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth,
    cluster::Cluster,
    image::Image,
    kubelet::Kubelets,
    processes::keep_all,
    registry::{self, Registry},
    wait::until,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, PostParams},
};
use serde_json::json;

use crate::{
    install::{Installer, Settings, kubectl},
    load::{Load, Wanted},
};

/// Everything that runs. Fields are ended in this order.
pub(crate) struct Bed {
    pub(crate) load: Load,
    _registry: Registry,
    pub(crate) nodes: Kubelets,
    installed: Mutex<(Installer, Settings)>,
    pub(crate) wanted: Wanted,
    /// From `kubectl apply` to the first Pod that was changed.
    pub(crate) first: Duration,
}

impl Bed {
    /// Starts everything.
    pub(crate) async fn make() -> anyhow::Result<Self> {
        let nodes = Kubelets::start(&["node-a", "node-b"]).await?;
        let cluster = nodes.cluster();
        for archive in berth::image::build(cluster.folder().path(), &TAGS).await? {
            for node in nodes.nodes() {
                node.import_file(&archive).await?;
            }
        }
        let address = format!("{}:5001", nodes.address());
        let registry =
            Registry::start_with(&registry::Options { address: Some(&address), ..Default::default() }).await?;
        nodes.registry_at(HOST, &registry.endpoint())?;
        let digest = registry.push_image("app", "latest", &Image::of("build 1").await?).await?;
        let image = format!("{HOST}/app:latest");
        let wanted = Wanted { namespace: "load", pinned: format!("{image}@{digest}"), image };
        let configuration = json!({
            "apiVersion": "berth.dev/v1alpha1",
            "kind": "Configuration",
            "registries": [{ "host": HOST, "endpoint": registry.endpoint() }],
        });
        let settings = Settings { manifests: BASE, tag: TAGS[0], configuration };
        match begin(cluster, &settings, &wanted).await {
            Ok((first, load)) => {
                let installed = Mutex::new((Installer::Kustomize, settings));
                Ok(Self { load, _registry: registry, nodes, installed, wanted, first })
            }
            Err(error) => {
                keep(cluster).await;
                Err(error)
            }
        }
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &Cluster {
        self.nodes.cluster()
    }

    /// Installs it anew, with other settings.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Settings)) -> anyhow::Result<()> {
        let (installer, settings) = {
            let mut installed = self.installed.lock().unwrap();
            change(&mut installed.1);
            installed.clone()
        };
        installer.install(self.cluster(), &settings).await
    }

    /// The settings that it is installed with.
    pub(crate) fn settings(&self) -> Settings {
        self.installed.lock().unwrap().1.clone()
    }

    /// Removes it.
    pub(crate) async fn uninstall(&self) -> anyhow::Result<()> {
        let installer = self.installed.lock().unwrap().0;
        installer.uninstall(self.cluster()).await
    }

    /// Installs it by another way, after it was removed; the time to the first Pod that is changed.
    pub(crate) async fn install_again(&self, by: Installer) -> anyhow::Result<Duration> {
        let settings = {
            let mut installed = self.installed.lock().unwrap();
            installed.0 = by;
            installed.1.clone()
        };
        let began = Instant::now();
        by.install(self.cluster(), &settings).await?;
        first_pod(self.cluster(), &self.wanted).await?;
        Ok(began.elapsed())
    }

    /// Waits until the Deployment has rolled out.
    pub(crate) async fn rolled_out(&self, deployment: &str) -> anyhow::Result<()> {
        let name = format!("deployment/{deployment}");
        let limit = format!("--timeout={}s", ROLL_LIMIT.as_secs());
        kubectl(self.cluster(), &["rollout", "status", &name, "-n", SYSTEM, &limit]).await.map(drop)
    }

    /// The Pods of a Deployment of Berth's that were not told to stop.
    pub(crate) async fn pods(&self, deployment: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = self.cluster().pods(SYSTEM).await?;
        let labels = format!("app.kubernetes.io/name={deployment}");
        let pods = pods.list(&ListParams::default().labels(&labels)).await?.items;
        Ok(pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Waits until as many replicas are ready as there should be.
    pub(crate) async fn complete(&self, deployment: &str) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.cluster().client().await?, SYSTEM);
        until(&format!("all replicas of {deployment} are ready"), ROLL_LIMIT, async || {
            let found = deployments.get(deployment).await?;
            let wanted = found.spec.replicas;
            let status = found.status.unwrap_or_default();
            ensure!(status.ready_replicas == wanted, "{:?} of {wanted:?}", status.ready_replicas);
            Ok(())
        })
        .await
    }
}

/// Installs it, and starts the load as soon as a Pod is changed; how long that took.
async fn begin(cluster: &Cluster, settings: &Settings, wanted: &Wanted) -> anyhow::Result<(Duration, Load)> {
    cluster.namespace(wanted.namespace, &berth::opted_in(None)).await?;
    let began = Instant::now();
    Installer::Kustomize.install(cluster, settings).await?;
    first_pod(cluster, wanted).await?;
    Ok((began.elapsed(), Load::start(cluster, wanted.clone(), longest_idle()).await?))
}

/// Leaves the logs for whoever wants to know more, those of Berth's Pods too.
pub(crate) async fn keep(cluster: &Cluster) {
    for (file, words) in [
        ("pods.txt", "get pods --all-namespaces -o wide"),
        ("events.txt", "get events --all-namespaces"),
        ("webhook.log", "logs -l app.kubernetes.io/name=berth-webhook --prefix --tail=-1"),
        ("controller.log", "logs -l app.kubernetes.io/name=berth-controller --prefix --tail=-1"),
    ] {
        let command: Vec<_> = words.split(' ').chain(["--namespace", SYSTEM]).collect();
        if let Ok(output) = cluster.kubectl(&command, "").await {
            // What cannot be kept is no reason to say something else than what failed.
            let _ = cluster.folder().write(file, [output.stdout, output.stderr].concat());
        }
    }
    keep_all();
}

/// Waits until a Pod is changed.
pub(crate) async fn first_pod(cluster: &Cluster, wanted: &Wanted) -> anyhow::Result<()> {
    let pods = cluster.pods(wanted.namespace).await?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let container = json!({ "name": "app", "image": wanted.image });
    let pod = serde_json::from_value(json!({
        "metadata": { "name": "first" },
        "spec": { "containers": [container], "automountServiceAccountToken": false },
    }))?;
    until("a Pod is changed", FIRST_LIMIT, async || {
        let pod = pods.create(&dry, &pod).await?;
        let image = pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image).unwrap_or_default();
        ensure!(image == wanted.pinned, "its image is {image}");
        Ok(())
    })
    .await
}

/// The node and the address of a Pod.
pub(crate) fn place(pod: &Pod) -> anyhow::Result<(String, IpAddr)> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    let nowhere = || format!("{} is nowhere", pod.name_any());
    Ok((node.with_context(nowhere)?, address.with_context(nowhere)?.parse()?))
}

/// Whether everything is done as often as a bar says, and waited for as long.
pub(crate) fn full() -> bool {
    env::var("BERTH_BARS").is_ok_and(|value| value == "full")
}

/// How long a connection may be idle: as long as an API server lets it, or as the time for the tests allows.
fn longest_idle() -> Duration {
    Duration::from_secs(if full() { 89 } else { 40 })
}

/// Berth's own namespace.
pub(crate) const SYSTEM: &str = "berth-system";
/// Its Deployments.
pub(crate) const WEBHOOK: &str = "berth-webhook";
pub(crate) const CONTROLLER: &str = "berth-controller";
/// What the other manifests build on.
pub(crate) const BASE: &str = "base";
/// Of the same image: an upgrade brings another one.
pub(crate) const TAGS: [&str; 2] = ["one", "two"];
/// The registry as Pods name it.
const HOST: &str = "localhost:5001";
const FIRST_LIMIT: Duration = Duration::from_secs(120);
const ROLL_LIMIT: Duration = Duration::from_secs(180);

//! The stage: everything that runs, and the few things that every situation does with it.

use std::{sync::Mutex, time::Duration};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, PostParams, PropagationPolicy},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    diff::diff,
    nodes::Nodes,
    pod::{End, Seen, as_written, shortened, told},
    screen::Screen,
    yaml::yaml,
};
use crate::{
    berth::{self, Controller, Webhook, opted_in},
    cluster::Cluster,
    image::Image,
    lock::locked,
    registry::Registry,
    wait::until,
};

/// Everything that runs. Fields are ended in this order.
pub(super) struct Stage<'a> {
    _berth: (Webhook, Controller),
    /// The one registry, which plays several.
    pub(super) registry: Registry,
    nodes: Nodes,
    /// What the audience sees.
    pub(super) screen: &'a Screen,
    configuration: String,
    /// What nodes got and may not list yet: node and image.
    imported: Mutex<Vec<(&'static str, &'static str)>>,
}

/// The same Deployment's Pods, without Berth and with it.
pub(super) struct Pods {
    pub(super) without: Vec<Seen>,
    pub(super) with: Vec<Seen>,
}

impl<'a> Stage<'a> {
    /// Starts everything; with real nodes or with written ones.
    pub(super) async fn set(screen: &'a Screen, real: bool) -> anyhow::Result<Self> {
        let nodes = Nodes::start(real).await?;
        let (cluster, registry) = (nodes.cluster(), nodes.registry().await?);
        let configuration = CONFIGURATION.replace("REGISTRY", &registry.endpoint());
        // The controller first: gates are added only while its heart beats.
        let controller = Controller::start(cluster, &configuration).await?;
        let webhook = Webhook::start(cluster, &berth::Options::new(&configuration)).await?;
        cluster.namespace(WITHOUT, &[]).await?;
        cluster.namespace(WITH, &opted_in(None)).await?;
        let imported = Mutex::default();
        Ok(Self { _berth: (webhook, controller), registry, nodes, screen, configuration, imported })
    }

    /// The configuration of webhook and controller.
    pub(super) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// The control plane.
    pub(super) fn cluster(&self) -> &Cluster {
        self.nodes.cluster()
    }

    /// Pushes a build that runs, and returns its digest.
    pub(super) async fn push(&self, repository: &str, tag: &str, build: &str) -> anyhow::Result<String> {
        self.registry.push_image(repository, tag, &Image::of(build).await?).await
    }

    /// Imports a build on one node, as people do it without Berth.
    pub(super) async fn import(
        &self,
        node: &'static str,
        name: &'static str,
        build: &'static str,
    ) -> anyhow::Result<()> {
        self.nodes.import(node, name, build).await?;
        locked(&self.imported).push((node, name));
        Ok(())
    }

    /// Lets the kubelets of both nodes pull `image`, which the registry has as `digest`.
    pub(super) async fn pull(&self, image: &str, digest: &str) -> anyhow::Result<()> {
        try_join_all(super::nodes::NAMES.map(|node| self.nodes.pull(node, image, digest))).await.map(drop)
    }

    /// Waits until the nodes list what was imported.
    pub(super) async fn listed(&self) -> anyhow::Result<()> {
        let imported = std::mem::take(&mut *locked(&self.imported));
        try_join_all(imported.iter().map(|(node, name)| self.nodes.listed(node, name))).await.map(drop)
    }

    /// Puts a build on the node `only`, or on all, by `berth load`.
    pub(super) async fn load(&self, name: &str, build: &str, only: Option<&'static str>) -> anyhow::Result<()> {
        let command = self.nodes.load(name, build, only).await?;
        self.screen.labelled("somebody runs", &format!("`{command}`, and that is {build}"));
        Ok(())
    }

    /// Shows which nodes have the image.
    pub(super) async fn whereabouts(&self, name: &str) -> anyhow::Result<()> {
        self.screen.labelled("the nodes", &format!("`berth where {name}` says:"));
        self.screen.block(&berth::whereabouts(self.cluster(), name).await?);
        Ok(())
    }

    /// A sentence about what runs; there is nothing to be seen of it where nodes are only written.
    pub(super) fn seen(&self, sentence: &str, is_true: bool) {
        if self.nodes.are_real() {
            self.screen.check(sentence, is_true);
        }
    }

    /// Applies a Deployment of two Pods twice, without Berth and with it, and waits until it is clear what becomes of each.
    pub(super) async fn deploy(&self, image: &str, policy: Option<&str>) -> anyhow::Result<Pods> {
        let written = policy.map_or("no imagePullPolicy".to_owned(), |policy| format!("imagePullPolicy: {policy}"));
        self.screen.labelled("the Pods say", &format!("image: {}, {written}", shortened(image)));
        let deployment: Deployment = serde_json::from_value(deployment(image, policy))?;
        for namespace in [WITHOUT, WITH] {
            let deployments: Api<Deployment> = Api::namespaced(self.cluster().client().await?, namespace);
            deployments.create(&PostParams::default(), &deployment).await?;
        }
        let (without, with) = tokio::try_join!(self.settled(WITHOUT), self.settled(WITH))?;
        self.screen.labelled("without Berth", &told(&without));
        Ok(Pods { without, with })
    }

    /// Waits until it is clear what became of the Pods in `namespace`.
    async fn settled(&self, namespace: &str) -> anyhow::Result<Vec<Seen>> {
        let pods = self.cluster().pods(namespace).await?;
        until(&format!("it is clear what becomes of {REPLICAS} Pods in {namespace}"), SETTLED_LIMIT, async || {
            let list = pods.list(&ListParams::default()).await?.items;
            ensure!(list.len() == REPLICAS, "there are {}", list.len());
            try_join_all(list.into_iter().map(|pod| self.nodes.see(pod))).await
        })
        .await
    }

    /// Waits until no Pod in the namespace with Berth is gated.
    pub(super) async fn opened(&self) -> anyhow::Result<Vec<Seen>> {
        until(&format!("the gates of {REPLICAS} Pods are open"), SETTLED_LIMIT, async || {
            let pods = self.settled(WITH).await?;
            ensure!(pods.iter().all(|pod| pod.end != End::Waits), "some are gated");
            Ok(pods)
        })
        .await
    }

    /// Shows what Berth changed in the Pod, and what became of it.
    pub(super) fn changes(&self, pods: &Pods) -> anyhow::Result<()> {
        self.difference("Berth", &pods.without, &pods.with)?;
        self.screen.labelled("with Berth", &told(&pods.with));
        Ok(())
    }

    /// Shows what `who` changed between the first Pod `before` and the first Pod `after`.
    pub(super) fn difference(&self, who: &str, before: &[Seen], after: &[Seen]) -> anyhow::Result<()> {
        let (before, after) = (before.first().context("no Pod")?, after.first().context("no Pod")?);
        let (before, after) = (yaml(&as_written(&before.stored)), yaml(&as_written(&after.stored)));
        if before == after {
            self.screen.labelled(who, "changed nothing");
        } else {
            self.screen.labelled(who, "changed the Pod, as it is stored:");
            self.screen.diff(&diff(&shortened(&before), &shortened(&after)));
        }
        Ok(())
    }

    /// Removes the Deployments and their Pods, each kind by itself: where there is no kubelet, nobody else would.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        for namespace in [WITHOUT, WITH] {
            let orphaning =
                DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
            self.remove::<Deployment>(namespace, &orphaning).await?;
            self.remove::<ReplicaSet>(namespace, &orphaning).await?;
            self.remove::<Pod>(namespace, &DeleteParams::default().grace_period(0)).await?;
        }
        Ok(())
    }

    async fn remove<K>(&self, namespace: &str, how: &DeleteParams) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.cluster().client().await?, namespace);
        api.delete_collection(how, &ListParams::default()).await?;
        let what = format!("{namespace} has no {} any more", K::kind(&()));
        until(&what, SETTLED_LIMIT, async || {
            let left = api.list(&ListParams::default()).await?.items.len();
            ensure!(left == 0, "{left} are left");
            Ok(())
        })
        .await
    }
}

/// Two Pods that would rather be on different nodes.
fn deployment(image: &str, policy: Option<&str>) -> Value {
    let labels = json!({ "matchLabels": { "app": APP } });
    let spread = json!({
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": labels,
    });
    let spec = json!({
        "containers": [{ "name": "app", "image": image, "imagePullPolicy": policy }],
        "topologySpreadConstraints": [spread],
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 1,
    });
    json!({
        "metadata": { "name": APP },
        "spec": {
            "replicas": REPLICAS,
            "selector": labels,
            "template": { "metadata": { "labels": { "app": APP } }, "spec": spec },
        },
    })
}

/// The namespace without Berth's label.
pub(super) const WITHOUT: &str = "without-berth";
/// The namespace with it.
pub(super) const WITH: &str = "with-berth";
const APP: &str = "app";
const REPLICAS: usize = 2;
const SETTLED_LIMIT: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = include_str!("berth.yaml");

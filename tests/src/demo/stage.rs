//! The stage: everything that runs, and the few things that every situation does with it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1,
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
    pod::{self, gated, node, shortened},
    screen::Screen,
    yaml::yaml,
};
use crate::{
    berth::{self, Controller, Webhook, opted_in},
    cluster::{Cluster, Node},
    registry::Registry,
    wait::until,
};

/// Everything that runs. Fields are ended in this order.
pub(super) struct Stage<'a> {
    _webhook: Webhook,
    _controller: Controller,
    /// The one registry, which plays several.
    pub(super) registry: Registry,
    pub(super) cluster: Cluster,
    /// What the audience sees.
    pub(super) screen: &'a Screen,
    configuration: String,
}

/// The same Deployment's Pods, without Berth and with it.
pub(super) struct Pods {
    pub(super) without: Vec<Value>,
    pub(super) with: Vec<Value>,
}

impl<'a> Stage<'a> {
    /// Starts everything.
    pub(super) async fn set(screen: &'a Screen) -> anyhow::Result<Self> {
        let (cluster, registry) = (Cluster::start().await?, Registry::start().await?);
        let configuration = CONFIGURATION.replace("REGISTRY", &registry.endpoint());
        // The controller first: gates are added only while its heart beats.
        let controller = Controller::start(&cluster, &configuration).await?;
        let webhook = Webhook::start(&cluster, &berth::Options::new(&configuration)).await?;
        cluster.namespace(WITHOUT, &[]).await?;
        cluster.namespace(WITH, &opted_in(None)).await?;
        Ok(Self { _webhook: webhook, _controller: controller, registry, cluster, screen, configuration })
    }

    /// The configuration of webhook and controller.
    pub(super) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// Adds `nodes` to the cluster and shows what they list. Every node has the image of the Pods' sandboxes besides:
    /// an empty list would mean that nothing is known yet.
    pub(super) async fn nodes(&self, nodes: &[Node]) -> anyhow::Result<()> {
        for node in nodes {
            self.cluster.add(&node.clone().image(SANDBOX)).await?;
            let lists = [node.images().concat(), vec!["pause:3.10".to_owned()]].concat().join(", ");
            self.screen.labelled(node.name(), &format!("lists {}", shortened(&lists)));
        }
        Ok(())
    }

    /// Applies a Deployment twice, without Berth and with it, and waits until every Pod is bound or gated.
    pub(super) async fn deploy(&self, image: &str, policy: Option<&str>, replicas: usize) -> anyhow::Result<Pods> {
        let written = policy.map_or("no imagePullPolicy".to_owned(), |policy| format!("imagePullPolicy: {policy}"));
        self.screen.labelled("the Pod says", &format!("image: {}, {written}", shortened(image)));
        let mut pods = Vec::new();
        for namespace in [WITHOUT, WITH] {
            let deployment = json!({
                "metadata": { "name": APP },
                "spec": {
                    "replicas": replicas,
                    "selector": { "matchLabels": { "app": APP } },
                    "template": {
                        "metadata": { "labels": { "app": APP } },
                        "spec": {
                            "containers": [{ "name": "app", "image": image, "imagePullPolicy": policy }],
                            "automountServiceAccountToken": false,
                        },
                    },
                },
            });
            let deployments: Api<Deployment> = Api::namespaced(self.cluster.client().await?, namespace);
            deployments.create(&PostParams::default(), &serde_json::from_value(deployment)?).await?;
            pods.push(self.settled(namespace, replicas).await?);
        }
        let with = pods.pop().context("two namespaces")?;
        Ok(Pods { with, without: pods.pop().context("two namespaces")? })
    }

    /// Waits until `namespace` has `count` Pods that are bound or gated.
    pub(super) async fn settled(&self, namespace: &str, count: usize) -> anyhow::Result<Vec<Value>> {
        let pods = self.cluster.pods(namespace).await?;
        until(&format!("{namespace} has {count} Pods, bound or gated"), SETTLED_LIMIT, async || {
            let list = pods.list(&ListParams::default()).await?;
            let list: Vec<Value> = list.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
            let settled = list.iter().filter(|pod| node(pod).is_some() || gated(pod)).count();
            ensure!(settled == count && list.len() == count, "{settled} of {} are", list.len());
            Ok(list)
        })
        .await
    }

    /// Waits until all Pods in the namespace with Berth are bound.
    pub(super) async fn opened(&self, count: usize) -> anyhow::Result<Vec<Value>> {
        let what = format!("the gates of {count} Pods are lifted and the Pods bound");
        until(&what, SETTLED_LIMIT, async || {
            let pods = self.settled(WITH, count).await?;
            ensure!(pods.iter().all(|pod| node(pod).is_some()), "some are gated");
            Ok(pods)
        })
        .await
    }

    /// Shows what Berth changed in the Pod, and what it wrote there for people.
    pub(super) fn changes(&self, pods: &Pods) -> anyhow::Result<()> {
        self.difference("Berth", &pods.without, &pods.with)
    }

    /// Shows what `who` changed between the first Pod `before` and the first Pod `after`.
    pub(super) fn difference(&self, who: &str, before: &[Value], after: &[Value]) -> anyhow::Result<()> {
        let (before, after) = (before.first().context("no Pod")?, after.first().context("no Pod")?);
        let (before, after) = (yaml(&pod::as_written(before)), yaml(&pod::as_written(after)));
        if before == after {
            self.screen.labelled(who, "changed nothing");
        } else {
            self.screen.labelled(who, "changed the Pod, as it is stored:");
            self.screen.diff(&diff(&shortened(&before), &shortened(&after)));
        }
        Ok(())
    }

    /// Removes everything that a situation brought.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        self.clear_pods().await?;
        let nodes: Api<v1::Node> = Api::all(self.cluster.client().await?);
        nodes.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(())
    }

    /// Removes the Deployments and their Pods, each kind by itself: nobody but us would end such Pods.
    pub(super) async fn clear_pods(&self) -> anyhow::Result<()> {
        for namespace in [WITHOUT, WITH] {
            let orphaning =
                DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
            self.remove::<Deployment>(namespace, &orphaning).await?;
            self.remove::<ReplicaSet>(namespace, &orphaning).await?;
            self.remove::<v1::Pod>(namespace, &DeleteParams::default().grace_period(0)).await?;
        }
        Ok(())
    }

    async fn remove<K>(&self, namespace: &str, how: &DeleteParams) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.cluster.client().await?, namespace);
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

/// The namespace without Berth's label.
pub(super) const WITHOUT: &str = "without-berth";
/// The namespace with it.
pub(super) const WITH: &str = "with-berth";
const APP: &str = "app";
/// As the kubelet lists what it pulled.
pub(super) const SANDBOX: &[&str] = &[
    "registry.k8s.io/pause@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a",
    "registry.k8s.io/pause:3.10",
];
const SETTLED_LIMIT: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = include_str!("berth.yaml");

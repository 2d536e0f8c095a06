//! The rules and what they look at, put together.

use std::{future, sync::Arc};

use arc_swap::ArcSwap;
use kube::Client;
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::{
    admission::App,
    command::{Failure, cluster},
    config::{self, Config},
    local_registry::LocalRegistry,
    namespaces::Namespaces,
    nodes::{Heartbeat, Nodes},
    pull_secrets::PullSecrets,
    registry::{self, Ages, Keychain, Memory, Shared},
    server::callers::{Callers, Trust},
    telemetry::Metrics,
};

/// The admission rules over real registries.
pub(super) type Rules = App<Shared<registry::Client>>;

/// The rules under `config`, and under what the cluster says about its local registry now. Fails where a file that
/// `config` names cannot be used. What registries said under the rules `before` is kept where it still counts.
pub(super) fn rules(
    config: Config,
    cluster: Option<&Cluster>,
    before: Option<&Rules>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Rules> {
    if cluster.is_none() && config.pull_secrets.enabled {
        warn!("pullSecrets.enabled has no effect --without-cluster: pull secrets are read from the Kubernetes API");
    }
    let local = cluster.map(|cluster| cluster.local_registry.registries()).unwrap_or_default();
    let config = config.with_local(&local);
    let client = registry::Client::new(&config, metrics.clone())?;
    let memory = before.map_or_else(|| Memory::of(&config), |rules| rules.registry.memory().under(&config));
    Ok(App {
        registry: Shared::remembering(client, Ages::from(&config.pin), memory, metrics.clone()),
        keychain: Keychain::read(&config)?,
        pull_secrets: cluster.filter(|_| config.pull_secrets.enabled).map(|cluster| cluster.pull_secrets.clone()),
        config: Arc::new(config),
        nodes: cluster.map(|cluster| cluster.nodes.clone()),
        namespaces: cluster.map(|cluster| cluster.namespaces.clone()),
        controller: cluster.map(|cluster| cluster.controller.clone()),
        own_namespace: cluster::own_namespace(),
        metrics,
    })
}

/// Puts `config` into force, but for what is built once.
pub(super) fn replace(
    rules: &ArcSwap<Rules>,
    callers: &Callers,
    config: Config,
    cluster: Option<&Cluster>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    if needs_restart(&rules.load().config, &config) {
        warn!("limits, place.listLimit and `localRegistry: trust` are in force after a restart only");
    }
    let trust = Trust::read(&config.pull_secrets)?;
    let new = self::rules(config, cluster, Some(&rules.load()), metrics)?;
    callers.believe(trust); // first: whoever is no longer believed must not meet the new rules as somebody who is
    rules.store(Arc::new(new));
    Ok(())
}

/// Builds the rules anew by `replace` whenever the cluster's local registry is another one, for ever.
pub(super) async fn follow_local_registry(
    rules: &ArcSwap<Rules>,
    cluster: Option<&Cluster>,
    metrics: &Metrics,
    replace: impl Fn(Config) -> anyhow::Result<()>,
) {
    let Some(local) = cluster.and_then(Cluster::local_registry) else { return future::pending().await };
    let mut changes = local.changes();
    changes.mark_changed(); // it may have been found before anybody listened
    while changes.changed().await.is_ok() {
        changes.borrow_and_update();
        let config = Config::clone(&rules.load().config);
        match replace(config) {
            Ok(()) => metrics.configured(&rules.load().config),
            Err(error) => error!(error = format!("{error:#}"), "the local registry stays as it was before"),
        }
    }
}

/// What is built once cannot follow.
fn needs_restart(old: &Config, new: &Config) -> bool {
    let fixed = |config: &Config| {
        let limits = config.limits;
        (limits.reviews_in_flight, limits.body_bytes, limits.bodies_bytes, config.place.list_limit)
    };
    let trusts = |config: &Config| config.local_registry == config::LocalRegistry::Trust;
    fixed(old) != fixed(new) || (trusts(new) && !trusts(old))
}

/// What is known of the cluster: by watches, and of Secrets by asking.
pub(super) struct Cluster {
    client: Client,
    pull_secrets: Arc<PullSecrets>,
    nodes: Arc<Nodes>,
    namespaces: Arc<Namespaces>,
    controller: Arc<Heartbeat>,
    local_registry: Arc<LocalRegistry>,
    trusts_local_registry: bool,
}

impl Cluster {
    /// Finds the API server, without asking it anything: it may be down.
    pub(super) async fn connect(config: &Config) -> Result<Self, Failure> {
        let client = cluster::client().await?;
        let nodes = Arc::new(Nodes::new(config.place.list_limit));
        Ok(Self {
            pull_secrets: Arc::new(PullSecrets::new(client.clone())),
            client,
            nodes,
            namespaces: Arc::default(),
            controller: Arc::default(),
            local_registry: Arc::default(),
            trusts_local_registry: config.local_registry == config::LocalRegistry::Trust,
        })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn nodes(&self) -> Arc<Nodes> {
        self.nodes.clone()
    }

    /// The local registry, where it is trusted.
    pub(super) fn local_registry(&self) -> Option<Arc<LocalRegistry>> {
        self.trusts_local_registry.then(|| self.local_registry.clone())
    }

    /// Starts the watches. They never end.
    pub(super) fn follow(&self, tasks: &mut JoinSet<()>, metrics: &Arc<Metrics>) {
        let Self { client, nodes, namespaces, controller, .. } = self;
        tasks.spawn(nodes.clone().follow(client.clone(), metrics.clone()));
        tasks.spawn(namespaces.clone().follow(client.clone(), metrics.clone()));
        tasks.spawn(controller.clone().follow(client.clone(), cluster::own_namespace(), metrics.clone()));
        if let Some(local_registry) = self.local_registry() {
            tasks.spawn(local_registry.follow(client.clone(), metrics.clone()));
        }
    }
}

//! The rules and what they look at, put together.

use std::sync::Arc;

use crate::{
    admission::App,
    command::{Failure, cluster},
    config::Config,
    namespaces::Namespaces,
    nodes::{Heartbeat, Nodes},
    registry::{self, Shared},
    telemetry::Metrics,
};

/// The admission rules over real registries.
pub(super) type Rules = App<Shared<registry::Client>>;

/// The rules under `config`. Fails where a file that `config` names cannot be used.
pub(super) fn rules(config: Config, cluster: Option<&Cluster>, metrics: Arc<Metrics>) -> anyhow::Result<Rules> {
    let client = registry::Client::new(&config, metrics.clone())?;
    Ok(App {
        registry: Shared::new(client, config.pin.max_age),
        config: Arc::new(config),
        nodes: cluster.map(|cluster| cluster.nodes.clone()),
        namespaces: cluster.map(|cluster| cluster.namespaces.clone()),
        controller: cluster.map(|cluster| cluster.controller.clone()),
        own_namespace: cluster::own_namespace(),
        metrics,
    })
}

/// What is known of the cluster, by watches. (being written)
pub(super) struct Cluster {
    nodes: Arc<Nodes>,
    namespaces: Arc<Namespaces>,
    controller: Arc<Heartbeat>,
}

impl Cluster {
    /// Finds the API server, without asking it anything: it may be down.
    pub(super) async fn connect(config: &Config) -> Result<Self, Failure> {
        let _client = cluster::client().await?;
        let nodes =
            Arc::new(Nodes::fixed(crate::nodes::Index::new(config.place.list_limit, std::time::Instant::now())));
        Ok(Self { nodes, namespaces: Arc::default(), controller: Arc::default() })
    }
}

//! The nodes: from a file, or from the cluster that kubectl would talk to.

use std::{path::Path, sync::Arc};

use kube::Client;
use tokio::time;

use crate::{
    command::{
        cluster::{self, Choice},
        nodes::{self, LIMIT},
    },
    config::Registry,
    local_registry::LocalRegistry,
    nodes::{Index, Node, Nodes, Now},
};

/// What is known of the cluster.
pub(super) struct Cluster {
    /// None where no cluster was asked.
    pub(super) nodes: Option<Arc<Nodes>>,
    /// Where objects go that name no namespace.
    pub(super) namespace: String,
    /// Its local registry, where that is trusted.
    pub(super) local: Vec<Registry>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { nodes: None, namespace: "default".to_owned(), local: Vec::new() }
    }
}

/// Reads what `kubectl get nodes -o json` wrote.
pub(super) fn read(file: &Path, list_limit: usize) -> anyhow::Result<Cluster> {
    Ok(Cluster { nodes: Some(fixed(nodes::read(file)?, list_limit)), ..Cluster::default() })
}

/// Asks the cluster of the current kubeconfig, within a few seconds.
pub(super) async fn ask(list_limit: usize) -> anyhow::Result<Cluster> {
    let config = Choice::default().config().await?;
    let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.to_string());
    let nodes = nodes::ask(Client::try_from(config)?, &server, "").await?;
    Ok(Cluster { nodes: Some(fixed(nodes, list_limit)), namespace, local: Vec::new() })
}

/// Asks the same cluster for its local registry, as it is reached from here.
pub(super) async fn local_registry() -> anyhow::Result<Vec<Registry>> {
    let client = Client::try_from(Choice::default().config().await?)?;
    time::timeout(LIMIT, LocalRegistry::read(client, !cluster::is_here())).await?
}

fn fixed(nodes: Vec<Node>, list_limit: usize) -> Arc<Nodes> {
    Arc::new(Nodes::fixed(Index::from_nodes(nodes, list_limit, Now::read())))
}

//! The nodes: from a file, or from the cluster that kubectl would talk to.

use std::{fs, iter, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use kube::{Api, Client, Config, api::ListParams};
use serde::Deserialize;
use tokio::time;

use crate::{
    command::cluster,
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
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let nodes =
        parse(&bytes).with_context(|| format!("{} is not what `kubectl get nodes -o json` says", file.display()))?;
    Ok(Cluster { nodes: Some(fixed(nodes, list_limit)), ..Cluster::default() })
}

/// Asks the cluster of the current kubeconfig, within a few seconds.
pub(super) async fn ask(list_limit: usize) -> anyhow::Result<Cluster> {
    let config = Config::infer().await.map_err(|error| anyhow!("no kubeconfig can be used: {}", root(&error)))?;
    let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.clone());
    let silent = |why: String| anyhow!("the cluster at {server} did not say: {why}");
    let nodes = time::timeout(LIMIT, list(config)).await.map_err(|_| silent(format!("no answer within {LIMIT:?}")))?;
    let nodes = nodes.map_err(|error| silent(root(&error)))?;
    Ok(Cluster { nodes: Some(fixed(nodes, list_limit)), namespace, local: Vec::new() })
}

/// Asks the same cluster for its local registry, as it is reached from here.
pub(super) async fn local_registry() -> anyhow::Result<Vec<Registry>> {
    let client = Client::try_from(Config::infer().await?)?;
    time::timeout(LIMIT, LocalRegistry::read(client, !cluster::is_here())).await?
}

/// The innermost cause: kube prints all of them at each level.
fn root(error: &dyn std::error::Error) -> String {
    iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

async fn list(config: Config) -> kube::Result<Vec<Node>> {
    let nodes = Api::<Node>::all(Client::try_from(config)?);
    let mut params = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = nodes.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Node>> {
    let file: File = serde_json::from_slice(bytes)?;
    match file.kind.as_str() {
        "List" | "NodeList" => file.items.into_iter().map(Item::node).collect(),
        "Node" => Ok(vec![serde_json::from_slice(bytes)?]),
        kind => bail!("it is of kind {kind:?}"),
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    kind: Option<String>,
    #[serde(flatten)]
    node: Node,
}

impl Item {
    fn node(self) -> anyhow::Result<Node> {
        match self.kind.as_deref() {
            None | Some("Node") => Ok(self.node),
            Some(kind) => bail!("it has an item of kind {kind:?}"),
        }
    }
}

fn fixed(nodes: Vec<Node>, list_limit: usize) -> Arc<Nodes> {
    Arc::new(Nodes::fixed(Index::from_nodes(nodes, list_limit, Now::read())))
}

/// Time for all answers of the cluster together.
const LIMIT: Duration = Duration::from_secs(5);
/// Nodes in one answer: some 30 KB each.
const PAGE: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&[&str], &str>) {
        let names = |nodes: Vec<Node>| nodes.iter().map(|node| node.name().to_owned()).collect::<Vec<_>>();
        let got = parse(text.as_bytes()).map(names).map_err(|error| error.to_string());
        assert_eq!(
            got,
            want.map(|names| names.iter().map(ToString::to_string).collect()).map_err(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn the_output_of_kubectl_is_read() {
        let node = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "status": {"images": [{"names": null}]}}"#;
        check(node, Ok(&["a"]));
        check(&format!(r#"{{"kind": "List", "items": [{node}, {node}]}}"#), Ok(&["a", "a"]));
        check(r#"{"kind": "NodeList", "items": [{"metadata": {"name": "b"}}]}"#, Ok(&["b"]));
        check(r#"{"kind": "List", "items": [{"kind": "Pod"}]}"#, Err("it has an item of kind \"Pod\""));
        check(r#"{"kind": "Pod"}"#, Err("it is of kind \"Pod\""));
        check("{}", Err("it is of kind \"\""));
    }
}

//! The Nodes that a command looks at: from a file, or from the cluster, within a few seconds.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use kube::{Api, Client, api::ListParams};
use serde::Deserialize;
use tokio::time;

use super::cluster;
use crate::nodes::Node;

/// Reads what `kubectl get nodes -o json` wrote.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Node>> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    parse(&bytes).with_context(|| format!("{} is not what `kubectl get nodes -o json` says", file.display()))
}

/// Asks the cluster at `server` for all nodes that `selector` (as kubectl takes it; empty: all) selects.
pub(super) async fn ask(client: Client, server: &str, selector: &str) -> anyhow::Result<Vec<Node>> {
    let silent = |why: String| anyhow!("the cluster at {server} did not say: {why}");
    let list = time::timeout(LIMIT, list(client, selector)).await;
    let nodes = list.map_err(|_| silent(format!("no answer within {LIMIT:?}")))?;
    nodes.map_err(|error| match error {
        kube::Error::Api(status) if status.code < 500 => anyhow!("the cluster at {server} says: {}", status.message),
        other => silent(cluster::root(&other)),
    })
}

async fn list(client: Client, selector: &str) -> kube::Result<Vec<Node>> {
    let nodes = Api::<Node>::all(client);
    let mut params = ListParams::default().labels(selector).limit(PAGE);
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

/// Time for all answers of the cluster together.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
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

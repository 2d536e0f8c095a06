//! `berth load` and `berth loaded`, as people run them.

use std::process::{Command, Stdio};

use anyhow::ensure;

use super::program;
use crate::{cluster::Cluster, image::Image, kubelet::Kubelets};

/// `berth load NAME` of an archive with that name: to the node `only`, or to all. Returns what it said.
pub async fn load(nodes: &Kubelets, image: &Image, name: &str, only: Option<&str>) -> anyhow::Result<String> {
    let cluster = nodes.cluster();
    let file = format!("{}.tar", name.replace([':', '/'], "-"));
    let archive = cluster.folder().write(&file, image.archive(&[name]))?;
    let archive = archive.to_string_lossy();
    let via = format!("{} {{node}} ctr -n k8s.io images import -", nodes.enter()?);
    let only = only.map(|node| ["--node", node]);
    run(cluster, &[&["load", name, "--from", &archive, "--via", &via], only.as_slice().as_flattened()].concat()).await
}

/// `berth loaded NAME`: the image, whose ID this is, was brought to `nodes` by other ways. Returns what it said.
pub async fn loaded(cluster: &Cluster, id: &str, name: &str, nodes: &[&str]) -> anyhow::Result<String> {
    let nodes: Vec<_> = nodes.iter().flat_map(|node| ["--node", node]).collect();
    run(cluster, &[&["loaded", name, "--id", id], nodes.as_slice()].concat()).await
}

/// `berth where NAME` into a pipe: the table. Nodes that may hold it and those that do not are no failure.
pub async fn whereabouts(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let output = output(cluster, &["where", name]).await?;
    ensure!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let output = output(cluster, arguments).await?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "berth {}: {}: {said}", arguments.join(" "), output.status);
    Ok(said)
}

async fn output(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
    let mut command = Command::new(program().await?);
    command.args(arguments).env("KUBECONFIG", cluster.kubeconfig()).stdin(Stdio::null());
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

//! `berth load` into two real containerds, and what their kubelets make of it. Needs what `kubelets` needs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]

use std::{
    io::{self, Write as _},
    path::Path,
    process::{Command, ExitCode, Output},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth,
    image::Image,
    kubelet::{Kubelet, Kubelets},
    wait::until,
};
use kube::api::{DeleteParams, PostParams};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let refused = Kubelets::prepare().err();
    if let Some(reason) = &refused {
        // A closed standard error leaves nobody to tell.
        let _unheard = writeln!(io::stderr(), "skipped, because {reason:#}");
    }
    let run = || {
        Runtime::new().unwrap().block_on(story()).unwrap();
        Ok(())
    };
    let trial = Trial::test("an_image_is_loaded_onto_real_nodes_and_runs", run).with_ignored_flag(refused.is_some());
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

async fn story() -> anyhow::Result<()> {
    let nodes = Kubelets::start(&["node-a", "node-b"]).await?;
    let (first, second) = (Image::of("build 1").await?, Image::of("build 2").await?);
    let file = nodes.cluster().folder().write("first.tar", first.archive(&["app:dev"]))?;
    load(&nodes, &file).await?;
    for node in nodes.nodes() {
        let held = node.ctr(&["images", "ls", "name==docker.io/library/app:dev"]).await?;
        let held = String::from_utf8_lossy(&held.stdout).into_owned();
        ensure!(held.contains("io.cri-containerd.pinned=pinned"), "not protected: {held}");
        runs(&nodes, node, "build 1").await?;
    }
    whereabouts(&nodes, &first).await?;

    // The same tag again, gzipped: the new build replaces the old one on both nodes.
    let file = nodes.cluster().folder().write("second.tar", second.archive(&["app:dev"]))?;
    ensure!(Command::new("gzip").arg("--fast").arg(&file).status()?.success());
    load(&nodes, &file.with_extension("tar.gz")).await?;
    for node in nodes.nodes() {
        runs(&nodes, node, "build 2").await?;
    }
    let table = table(&nodes).await?;
    ensure!(table["nodes"].as_array().context("rows")?.iter().all(|row| row["imageID"] == second.id()), "{table:#}");
    unusable(&nodes, &second).await
}

/// Known at once, and holders when the kubelets have looked.
async fn whereabouts(nodes: &Kubelets, image: &Image) -> anyhow::Result<()> {
    until("both nodes list it", LISTED_LIMIT, async || {
        let table = table(nodes).await?;
        let rows = table["nodes"].as_array().context("rows")?;
        let is = |row: &Value, status: &str| row["status"] == status && row["imageID"] == image.id();
        assert!(rows.iter().all(|row| is(row, "told") || is(row, "holder")), "lost meanwhile: {table:#}");
        ensure!(rows.iter().all(|row| is(row, "holder") && row["origin"] == "imported"), "{table:#}");
        Ok(())
    })
    .await
}

/// What is listed and yet not found by the kubelet is refused before any node sees it.
async fn unusable(nodes: &Kubelets, image: &Image) -> anyhow::Result<()> {
    let file = nodes.cluster().folder().write("other.tar", image.archive(&["localhost/app:other"]))?;
    let ran = berth(nodes, &["load", "app:other", "--from", path(&file)?, "--via", &via(nodes)?]).await?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.code() == Some(64) && said.contains("localhost/app:other"), "{said}");
    for node in nodes.nodes() {
        let held = node.held().await?;
        ensure!(!held.iter().any(|name| name.contains("app:other")), "{held:?}");
    }
    Ok(())
}

/// `berth load app:dev` to all nodes.
async fn load(nodes: &Kubelets, file: &Path) -> anyhow::Result<()> {
    let ran = berth(nodes, &["load", "app:dev", "--from", path(file)?, "--via", &via(nodes)?]).await?;
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(ran.status.success(), "{said}");
    ensure!(said.matches(": loaded in ").count() == nodes.nodes().len(), "{said}");
    Ok(())
}

/// As people write it for `ssh` or `docker exec`.
fn via(nodes: &Kubelets) -> anyhow::Result<String> {
    Ok(format!("{} {{node}} ctr -n k8s.io images import -", nodes.enter()?))
}

async fn table(nodes: &Kubelets) -> anyhow::Result<Value> {
    let ran = berth(nodes, &["where", "app:dev", "-o", "json"]).await?;
    Ok(serde_json::from_slice(&ran.stdout)?)
}

async fn berth(nodes: &Kubelets, words: &[&str]) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::new(berth::program().await?);
    Ok(command.args(words).env("KUBECONFIG", nodes.cluster().kubeconfig()).output().await?)
}

fn path(file: &Path) -> anyhow::Result<&str> {
    file.to_str().context("the path is text")
}

/// A Pod on `node` that never pulls runs `build`.
async fn runs(nodes: &Kubelets, node: &Kubelet, build: &str) -> anyhow::Result<()> {
    let (cluster, name) = (nodes.cluster(), format!("{}-{}", node.name(), build.replace(' ', "-")));
    let container = json!({ "name": "main", "image": "app:dev", "imagePullPolicy": "Never" });
    let spec = json!({ "nodeName": node.name(), "containers": [container], "terminationGracePeriodSeconds": 1 });
    let pods = cluster.pods("default").await?;
    let pod = json!({ "metadata": { "name": name }, "spec": spec });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    until(&format!("{name} runs"), RUN_LIMIT, async || {
        let logs = cluster.kubectl(&["logs", &name], "").await?;
        let said = String::from_utf8_lossy(&logs.stdout).into_owned();
        ensure!(said == format!("{build}\n"), "{said}{}", String::from_utf8_lossy(&logs.stderr));
        Ok(())
    })
    .await?;
    pods.delete(&name, &DeleteParams::default()).await.map(drop)?;
    Ok(())
}

/// A kubelet looks every 30 s.
const LISTED_LIMIT: Duration = Duration::from_secs(60);
const RUN_LIMIT: Duration = Duration::from_secs(30);

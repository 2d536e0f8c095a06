//! Berth as `manifests/` bring it into a cluster, with an image and a configuration of the tests'.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use berth_tests::{cluster::Cluster, programs::Program};
use serde_json::{Value, json};

use crate::bed::SYSTEM;

/// What an installation differs in from others.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Which of the manifests kustomize builds on.
    pub(crate) manifests: &'static str,
    /// Of the image.
    pub(crate) tag: &'static str,
    /// The configuration file; YAML is a superset of JSON.
    pub(crate) configuration: Value,
}

/// How people install it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Installer {
    /// An overlay of their own.
    Kustomize,
    /// The chart.
    Helm,
}

impl Installer {
    /// Installs it, or changes what is installed to these settings.
    pub(crate) async fn install(self, cluster: &Cluster, settings: &Settings) -> anyhow::Result<()> {
        match self {
            Self::Kustomize => {
                let overlay = overlay(cluster, settings)?;
                kubectl(cluster, &["apply", "-k", &overlay.to_string_lossy()]).await.map(drop)
            }
            Self::Helm => {
                let values = json!({
                    "image": { "repository": "berth", "tag": settings.tag },
                    "configuration": settings.configuration,
                });
                let values = cluster.folder().write("values.json", values.to_string())?;
                let chart = manifests().join("chart");
                let (values, chart) = (values.to_string_lossy(), chart.to_string_lossy());
                let upgrade = ["upgrade", "--install", RELEASE, &chart, "--values", &values, "--create-namespace"];
                helm(cluster, &upgrade).await.map(drop)
            }
        }
    }

    /// Removes it, as it is documented.
    pub(crate) async fn uninstall(self, cluster: &Cluster) -> anyhow::Result<()> {
        match self {
            Self::Kustomize => {
                kubectl(cluster, &OUT_OF_THE_WAY).await?;
                let overlay = cluster.folder().path().join(OVERLAY_FOLDER);
                kubectl(cluster, &["delete", "-k", &overlay.to_string_lossy(), "--ignore-not-found", "--wait=false"])
                    .await
                    .map(drop)
            }
            Self::Helm => helm(cluster, &["uninstall", RELEASE]).await.map(drop),
        }
    }
}

/// Runs what the chart brings to be run after an installation; what it wrote.
pub(crate) async fn test_release(cluster: &Cluster) -> anyhow::Result<String> {
    helm(cluster, &["test", RELEASE, "--timeout=150s"]).await
}

/// Runs kubectl; what it wrote.
///
/// # Errors
/// Where it fails: its own words.
pub(crate) async fn kubectl(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let output = cluster.kubectl(arguments, "").await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {}: {}", arguments.join(" "), said.trim_end());
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs Helm; what it wrote.
///
/// # Errors
/// Where it fails: its own words.
async fn helm(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let folder = cluster.folder().path();
    let mut helm = tokio::process::Command::new(Program::Helm.path().await?);
    helm.args(arguments).args(["--namespace", SYSTEM]).env("KUBECONFIG", cluster.kubeconfig());
    for (variable, name) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        helm.env(variable, folder.join("helm").join(name));
    }
    let output = helm.output().await.context("cannot start helm")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm {}: {}", arguments.join(" "), said.trim_end());
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes the overlay anew, and says where it is.
fn overlay(cluster: &Cluster, settings: &Settings) -> anyhow::Result<PathBuf> {
    let folder = cluster.folder().path().join(OVERLAY_FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("config.yaml"), settings.configuration.to_string())?;
    let base = relative(&folder, &manifests().join(settings.manifests))?;
    let text = OVERLAY.replace("BASE", &base).replace("TAG", settings.tag);
    fs::write(folder.join("kustomization.yaml"), text)?;
    Ok(folder)
}

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

/// The way from one folder to another: kustomize takes no absolute one.
fn relative(from: &Path, to: &Path) -> anyhow::Result<String> {
    let (from, to) = (from.canonicalize()?, to.canonicalize()?);
    let up = "../".repeat(from.components().count() - 1);
    let down = to.strip_prefix("/")?.to_str().context("the clone's path is not UTF-8")?;
    Ok([&up, down].concat())
}

/// As docs/configuration.md has it.
const OUT_OF_THE_WAY: [&str; 8] =
    ["--namespace", SYSTEM, "exec", "deployment/berth-controller", "--", "/berth", "controller", "--uninstall"];
/// What Helm calls it.
const RELEASE: &str = "berth";
/// Below the cluster's folder.
const OVERLAY_FOLDER: &str = "overlay";
const OVERLAY: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [BASE]
images: [{ name: berth, newName: berth, newTag: TAG }]
configMapGenerator:
  - name: berth
    namespace: berth-system
    behavior: merge
    files: [config.yaml]
";

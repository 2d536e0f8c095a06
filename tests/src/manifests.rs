//! What `manifests/` renders to, by kustomize and by Helm. No cluster is needed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{helm::Helm, programs::Program};

/// Where a file or folder of `manifests/` is.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(name)
}

/// What `kubectl kustomize` makes of a folder: `base`, `overlays/production`.
pub async fn kustomized(folder: &str) -> anyhow::Result<String> {
    let mut command = Command::new(Program::Kubectl.path().await?);
    command.arg("kustomize").arg(path(folder));
    text(&format!("kubectl kustomize {folder}"), &tokio::task::spawn_blocking(move || command.output()).await??)
}

/// What `helm template` makes of the chart, in the namespace [`SYSTEM`], with these flags: `--values=…`, `--set=…`.
/// Hooks are in it.
pub async fn templated(flags: &[&str]) -> anyhow::Result<String> {
    let output = template(SYSTEM, flags).await?;
    text(&format!("helm template {flags:?}"), &output)
}

/// The same in another namespace. The caller looks at the exit status.
pub async fn template(namespace: &str, flags: &[&str]) -> anyhow::Result<Output> {
    let chart = path("chart");
    let chart = chart.to_str().context("the clone's path is not UTF-8")?;
    Helm::new().await?.run(&[&["template", "berth", chart, "--namespace", namespace], flags].concat(), None).await
}

/// The flag for a file of values that the chart brings, such as `values-dev.yaml`.
pub fn values(file: &str) -> String {
    format!("--values={}", path("chart").join(file).display())
}

/// The objects in a YAML text of several documents.
pub fn objects(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents = yaml_serde::Deserializer::from_str(text).map(Value::deserialize);
    let objects: Vec<_> =
        documents.filter(|document| !matches!(document, Ok(Value::Null))).collect::<Result<_, _>>()?;
    ensure!(!objects.is_empty(), "it renders to nothing");
    Ok(objects)
}

/// `Kind namespace/name`, or `Kind name`.
pub fn title(object: &Value) -> String {
    let part = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let name = part("/metadata/name").unwrap_or_default();
    let kind = part("/kind").unwrap_or_default();
    part("/metadata/namespace")
        .map_or_else(|| format!("{kind} {name}"), |namespace| format!("{kind} {namespace}/{name}"))
}

fn text(what: &str, output: &Output) -> anyhow::Result<String> {
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout.clone())?)
}

/// Berth's own namespace.
pub const SYSTEM: &str = "berth-system";

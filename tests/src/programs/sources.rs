//! Go modules of which only files are read.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{ASSETS, Go};

/// The folder with the schemas (`CustomResourceDefinitions`) of the CNCF project cert-manager: `deploy/crds` of its
/// module, or `cert-manager-crds` in `KUBEBUILDER_ASSETS`.
pub async fn cert_manager_schemas() -> anyhow::Result<PathBuf> {
    let asset = env::var_os(ASSETS).map(|folder| Path::new(&folder).join("cert-manager-crds"));
    if let Some(asset) = asset.filter(|asset| asset.is_dir()) {
        return Ok(asset);
    }
    let module = tokio::task::spawn_blocking(|| module("cert-manager", "github.com/cert-manager/cert-manager"));
    Ok(module.await??.join("deploy/crds"))
}

/// Where the Go module `path` lies, as `programs/FAMILY` pins it by hash; fetched if need be.
fn module(family: &str, path: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(family);
    Go::find(&folder)?;
    let output = Command::new("go")
        .current_dir(&folder)
        .args(["mod", "download", "-json", path])
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .output()
        .context("cannot start go")?;
    ensure!(output.status.success(), "go mod download {path}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(serde_json::from_slice::<Module>(&output.stdout)?.folder)
}

/// What Go says about a module.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    folder: PathBuf,
}

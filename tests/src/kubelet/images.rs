//! What a node holds: brought and taken as people do it, and as its status lists it.

use std::{
    fs,
    path::Path,
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Node;
use kube::Api;

use super::Kubelet;
use crate::{cluster::Cluster, image::Image};

impl Kubelet {
    /// `ctr -n k8s.io images import FILE` of a `docker save` archive with these names.
    pub async fn import(&self, image: &Image, names: &[&str]) -> anyhow::Result<()> {
        self.import_with(&["import"], image, names).await
    }

    /// The same with an archive that somebody else wrote.
    pub async fn import_file(&self, archive: &Path) -> anyhow::Result<()> {
        self.ctr(&["images", "import", &archive.to_string_lossy()]).await.map(drop)
    }

    /// As `kind load docker-image` does it.
    ///
    /// # Source
    /// `LoadImageArchive` in kind's `pkg/cluster/nodeutils/util.go`.
    pub async fn import_as_kind_does(&self, image: &Image, names: &[&str]) -> anyhow::Result<()> {
        self.import_with(&["import", "--all-platforms", "--digests"], image, names).await
    }

    /// `ctr -n k8s.io images tag`: the new name is listed, and the kubelet may not find it all the same.
    pub async fn tag(&self, image: &str, name: &str) -> anyhow::Result<()> {
        self.ctr(&["images", "tag", image, name]).await.map(drop)
    }

    /// `ctr -n k8s.io images rm` of a name with all its defaults (`docker.io/library/app:dev`).
    pub async fn remove_image(&self, name: &str) -> anyhow::Result<()> {
        self.ctr(&["images", "rm", "--sync", name]).await.map(drop)
    }

    /// The names that containerd has now, at once and not when the kubelet looks.
    pub async fn held(&self) -> anyhow::Result<Vec<String>> {
        let output = self.ctr(&["images", "ls", "--quiet"]).await?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The names of each image in the node's status, which is as late as a kubelet's list.
    pub async fn listed(&self, cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
        let nodes: Api<Node> = Api::all(cluster.client().await?);
        let status = nodes.get(self.name()).await?.status.unwrap_or_default();
        Ok(status.images.unwrap_or_default().into_iter().map(|image| image.names.unwrap_or_default()).collect())
    }

    /// `ctr -n k8s.io …` on the node.
    pub async fn ctr(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let output = self.run_there("ctr", &[&["-n", "k8s.io"], arguments].concat()).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ctr {} on {}: {}", arguments.join(" "), self.name(), said.trim_end());
        Ok(output)
    }

    async fn import_with(&self, how: &[&str], image: &Image, names: &[&str]) -> anyhow::Result<()> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = self.data.path().join(format!("{}.tar", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, image.archive(names))?;
        let file = path.to_string_lossy();
        let imported = self.ctr(&[&["images"], how, &[&file]].concat()).await;
        fs::remove_file(&path)?;
        imported.map(drop)
    }
}

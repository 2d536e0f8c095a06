//! Where the programs of a node are, and how each is called.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use super::configuration::{self, Settings};
use crate::{
    processes::Folder,
    programs::{
        Program,
        packages::{IPTABLES, install},
    },
};

/// The programs of a node.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    kubelet: PathBuf,
    kube_proxy: PathBuf,
    containerd: PathBuf,
    /// Makes a container of a process.
    pub(super) runc: PathBuf,
    bridge: PathBuf,
}

impl Programs {
    /// Builds what is missing.
    pub(super) async fn find() -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(|| install(&[IPTABLES])).await??;
        // The API server first: whichever is built first builds the packages that all of Kubernetes shares.
        Program::ApiServer.path().await?;
        for beside in [Program::Shim, Program::Ctr, Program::Loopback, Program::HostLocal] {
            beside.path().await?;
        }
        Ok(Self {
            kubelet: Program::Kubelet.path().await?,
            kube_proxy: Program::KubeProxy.path().await?,
            containerd: Program::Containerd.path().await?,
            runc: Program::Runc.path().await?,
            bridge: Program::Bridge.path().await?,
        })
    }

    /// The folder of the CNI plugins.
    pub(super) fn plugins(&self) -> &Path {
        self.bridge.parent().unwrap_or(&self.bridge)
    }

    /// `program` as it is found on a node.
    pub(super) fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        // containerd looks for its shim there, people for `ctr`.
        let ours = [&self.containerd, &self.runc].into_iter().filter_map(|program| program.parent());
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = ours.map(Path::to_owned).chain(env::split_paths(&path));
        command.env("PATH", env::join_paths(folders).unwrap_or(path.clone()));
        command.env("CONTAINERD_SNAPSHOTTER", configuration::SNAPSHOTTER);
        command
    }

    pub(super) fn containerd(&self, folder: &Folder) -> Command {
        let mut command = self.command(&self.containerd);
        command.arg("--config").arg(folder.path().join(configuration::CONTAINERD));
        command
    }

    pub(super) fn kubelet(&self, settings: &Settings, folder: &Folder) -> Command {
        let mut command = self.command(&self.kubelet);
        command.arg("--config").arg(folder.path().join(configuration::KUBELET));
        command.arg("--kubeconfig").arg(folder.path().join(configuration::KUBECONFIG));
        command.arg(format!("--hostname-override={}", settings.name));
        command.arg(format!("--node-ip={}", settings.address));
        command.arg("--v=2");
        command
    }

    pub(super) fn kube_proxy(&self, folder: &Folder) -> Command {
        let mut command = self.command(&self.kube_proxy);
        command.arg("--config").arg(folder.path().join(configuration::PROXY));
        command
    }
}

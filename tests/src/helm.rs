//! The real Helm, with a home of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{processes::Folder, programs::Program};

/// Runs Helm. What it remembers between runs vanishes with this.
pub struct Helm {
    program: PathBuf,
    home: Folder,
}

impl Helm {
    /// Finds the program; builds it if need be.
    pub async fn new() -> anyhow::Result<Self> {
        Ok(Self { program: Program::Helm.path().await?, home: Folder::for_data("helm")? })
    }

    /// Runs it on the cluster of `kubeconfig`, or on none. The caller looks at the exit status.
    pub async fn run(&self, arguments: &[&str], kubeconfig: Option<&Path>) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")));
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(home, self.home.path().join(home));
        }
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }
}

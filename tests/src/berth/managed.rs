//! Berth as its manifests run it: the controller makes the certificate, the webhook reads it from its Secret, and API
//! servers find the webhook by its Service.

use std::{process::Command, slice, time::Duration};

use anyhow::ensure;

use super::{Manifests, program, status};
use crate::{
    cluster::{Cluster, Options},
    port::Port,
    processes::{Folder, Process, while_running},
    wait::until,
};

/// Options of a cluster whose API server finds the webhook on this machine by its Service.
pub fn options() -> Options {
    let flags = vec!["--enable-aggregator-routing=false".to_owned()];
    Options { only_api_server: true, api_server: flags, ..Options::default() }
}

/// Applies the rights that the manifests ship, and registers the webhook at `port` of this machine.
pub async fn install(cluster: &Cluster, port: u16) -> anyhow::Result<()> {
    let manifests = Manifests::read(cluster).await?;
    manifests.apply_rights(cluster).await?;
    manifests.register_service(cluster, port).await
}

/// A running `berth controller` or `berth webhook`.
pub struct Managed {
    process: Process,
    status: Port,
    /// A webhook's.
    reviews: Option<Port>,
    _folder: Folder,
}

impl Managed {
    /// Starts `berth controller`. It may have nobody to talk to yet: nothing is waited for.
    pub async fn controller(kubeconfig: &str, configuration: &str) -> anyhow::Result<Self> {
        Self::start("controller", kubeconfig, configuration, None).await
    }

    /// Starts `berth webhook` at a port of this machine.
    pub async fn webhook(kubeconfig: &str, configuration: &str, port: Port) -> anyhow::Result<Self> {
        Self::start("webhook", kubeconfig, configuration, Some(port)).await
    }

    async fn start(
        subcommand: &str,
        kubeconfig: &str,
        configuration: &str,
        reviews: Option<Port>,
    ) -> anyhow::Result<Self> {
        let (folder, status) = (Folder::new(subcommand)?, Port::free()?);
        let mut command = Command::new(program().await?);
        command.arg(subcommand).arg("--config").arg(folder.write("config.yaml", configuration)?);
        command.arg("--status-listen").arg(status.address().to_string());
        if let Some(port) = &reviews {
            command.arg("--listen").arg(port.address().to_string());
        }
        command.env("KUBECONFIG", folder.write("kubeconfig", kubeconfig)?);
        command.env("RUST_LOG", "info");
        let process = Process::spawn(subcommand, &command, folder.path())?;
        Ok(Self { process, status, reviews, _folder: folder })
    }

    /// Waits until it is ready.
    pub async fn ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.status.address());
        let ready = until("it is ready", limit, async || {
            let answer = reqwest::get(&url).await?;
            ensure!(answer.status().is_success(), "it answers {}: {}", answer.status(), answer.text().await?);
            Ok(())
        });
        while_running(slice::from_mut(&mut self.process), ready).await
    }

    /// What its status port answers to `/metrics`, `/readyz`, `/livez`.
    pub async fn status(&self, path: &str) -> anyhow::Result<String> {
        status(&self.status, path).await
    }

    /// What it has logged, a JSON object a line.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Where the webhook is called; a controller is not.
    pub fn address(&self) -> String {
        self.reviews.as_ref().map(|port| port.address().to_string()).unwrap_or_default()
    }
}

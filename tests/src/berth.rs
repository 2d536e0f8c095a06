//! The real `berth` on the cluster: its own processes outside, its rights and its registration as `manifests/` ship them.

mod alone;
mod called;
pub mod image;
mod load;
pub mod managed;
mod manifests;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    slice,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use berth_cert_manager::{Authority, Leaf, service_names};

use self::manifests::{Manifests, Server};
pub use self::{
    alone::Alone,
    called::warnings,
    load::{load, loaded, whereabouts},
};
use crate::{
    binary,
    cluster::Cluster,
    port::Port,
    processes::{Folder, Process, while_running},
    wait::until,
};

/// How a webhook differs from others on the same cluster.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Its configuration file.
    pub configuration: &'a str,
    /// Where the API server finds it: h2 at `127.0.0.1`, HTTP/1.1 at [`Cluster::other_address`].
    pub host: &'a str,
    /// Only namespaces that also have the label [`ONLY`] with this value; several webhooks then do not meet.
    pub only: Option<&'a str>,
    /// Without access to the Kubernetes API.
    pub without_cluster: bool,
    /// A file with the certificate authorities of its machine, in place of this one's.
    pub authorities: Option<&'a Path>,
    /// The proxy by which it reaches what is served by https.
    pub proxy: Option<&'a str>,
}

impl<'a> Options<'a> {
    /// The webhook of all namespaces that opted in, at loopback.
    pub fn new(configuration: &'a str) -> Self {
        Self { configuration, host: "127.0.0.1", only: None, without_cluster: false, authorities: None, proxy: None }
    }
}

/// A running `berth webhook`, called by the API server.
pub struct Webhook {
    process: Process,
    status: Port,
    folder: Folder,
    _reviews: Port,
}

impl Webhook {
    /// Starts it, registers it, and waits until it is ready and called.
    pub async fn start(cluster: &Cluster, options: &Options<'_>) -> anyhow::Result<Self> {
        let manifests = Manifests::read(cluster).await?;
        manifests.apply_rights(cluster).await?;
        let folder = Folder::new("webhook")?;
        let (reviews, status) = (Port::free()?, Port::free()?);
        let (bundle, leaf) = certificates(options.host)?;
        let mut command = berth(cluster, "webhook", &folder, options.configuration).await?;
        command.arg("--listen").arg(reviews.address().to_string());
        command.arg("--status-listen").arg(status.address().to_string());
        command.arg("--tls-cert").arg(folder.write("tls.crt", leaf.certificate_pem)?);
        command.arg("--tls-key").arg(folder.write("tls.key", leaf.key_pem)?);
        command.args(options.without_cluster.then_some("--without-cluster"));
        command.envs(options.authorities.map(|file| ("SSL_CERT_FILE", file)));
        command.envs(options.proxy.map(|proxy| ("HTTPS_PROXY", proxy)));
        let process = Process::spawn("webhook", &command, folder.path())?;
        let server = Server { url: format!("https://{}:{}", options.host, reviews.number()), bundle };
        let mut webhook = Self { process, status, folder, _reviews: reviews };
        webhook.ready().await?;
        manifests.register(cluster, &server, options.only).await?;
        called::called(cluster, options.only).await?;
        Ok(webhook)
    }

    /// What it has logged, a JSON object a line.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its folder: configuration, certificate, log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// What its status port answers to `/metrics`, `/readyz`, `/livez`.
    pub async fn status(&self, path: &str) -> anyhow::Result<String> {
        status(&self.status, path).await
    }

    /// Asks it to end (SIGTERM) and waits for the drain.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.terminate();
        until("the webhook has drained", DRAIN_LIMIT, async || self.process.ended()?.context("it still runs")).await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.status.address());
        let ready = until("the webhook is ready", READY_LIMIT, async || {
            let answer = reqwest::get(&url).await?;
            ensure!(answer.status().is_success(), "it answers {}: {}", answer.status(), answer.text().await?);
            Ok(())
        });
        while_running(slice::from_mut(&mut self.process), ready).await
    }
}

/// A running `berth controller`.
pub struct Controller {
    process: Process,
    status: Port,
    _folder: Folder,
}

impl Controller {
    /// Starts it, with its own rights, and waits for its first heartbeat. It leaves certificates alone, because those of
    /// [`Webhook`] come by files.
    pub async fn start(cluster: &Cluster, configuration: &str) -> anyhow::Result<Self> {
        Manifests::read(cluster).await?.apply_rights(cluster).await?;
        let folder = Folder::new("controller")?;
        let configuration = format!("{}\ncertificates: {{source: none}}\n", configuration.trim_end());
        let mut command = berth(cluster, "controller", &folder, &configuration).await?;
        let status = Port::free()?;
        command.arg("--status-listen").arg(status.address().to_string());
        let mut process = Process::spawn("controller", &command, folder.path())?;
        let beating = until("the controller's heart beats", READY_LIMIT, async || {
            let lease = cluster.kubectl(&["get", "lease", "berth-controller", "-n", "berth-system"], "").await?;
            ensure!(lease.status.success(), "{}", String::from_utf8_lossy(&lease.stderr));
            Ok(())
        });
        while_running(slice::from_mut(&mut process), beating).await?;
        Ok(Self { process, status, _folder: folder })
    }

    /// What its status port answers to `/metrics`, `/readyz`, `/livez`.
    pub async fn status(&self, path: &str) -> anyhow::Result<String> {
        status(&self.status, path).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// Runs `berth controller --lift-all` with the controller's rights, and nothing else.
pub async fn lift_all(cluster: &Cluster) -> anyhow::Result<Output> {
    lift_all_at(cluster, cluster.server()).await
}

/// The same, for an API server that is said to be at `server`.
pub async fn lift_all_at(cluster: &Cluster, server: &str) -> anyhow::Result<Output> {
    way_out(cluster, server, "--lift-all").await
}

/// Runs `berth controller --uninstall` with the controller's rights, and nothing else.
pub async fn uninstall(cluster: &Cluster) -> anyhow::Result<Output> {
    way_out(cluster, cluster.server(), "--uninstall").await
}

async fn way_out(cluster: &Cluster, server: &str, flag: &str) -> anyhow::Result<Output> {
    let folder = Folder::new("way-out")?;
    let user = "system:serviceaccount:berth-system:berth-controller";
    let mut command = Command::new(program().await?);
    command.args(["controller", flag]);
    command.env("KUBECONFIG", folder.write("kubeconfig", cluster.authority().kubeconfig(server, user, None)?)?);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// The labels of a namespace that Berth changes Pods in; `only` as in [`Options`].
pub fn opted_in(only: Option<&str>) -> Vec<(&str, &str)> {
    let only = only.map(|value| (ONLY, value));
    [("berth.dev/admission", "enabled")].into_iter().chain(only).collect()
}

/// The path of the `berth` that belongs to these tests, built if need be.
pub async fn program() -> anyhow::Result<PathBuf> {
    binary::path("berth").await
}

/// `berth SUBCOMMAND --config FILE` as the `ServiceAccount` of that name.
async fn berth(cluster: &Cluster, subcommand: &str, folder: &Folder, configuration: &str) -> anyhow::Result<Command> {
    let user = format!("system:serviceaccount:berth-system:berth-{subcommand}");
    let kubeconfig = cluster.authority().kubeconfig(cluster.server(), &user, None)?;
    let mut command = Command::new(program().await?);
    command.arg(subcommand).arg("--config").arg(folder.write("config.yaml", configuration)?);
    command.env("KUBECONFIG", folder.write("kubeconfig", kubeconfig)?);
    command.env("RUST_LOG", "info,berth=debug");
    Ok(command)
}

async fn status(port: &Port, path: &str) -> anyhow::Result<String> {
    let answer = reqwest::get(format!("http://{}{path}", port.address())).await?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "{path} answers {status}: {body}");
    Ok(body)
}

/// A `caBundle`, and a certificate for `host`, as Berth issues them.
fn certificates(host: &str) -> anyhow::Result<(String, Leaf)> {
    let now = SystemTime::now();
    let authority = Authority::issue("berth-tests", now, LIFETIME)?;
    let names = [service_names("berth-webhook", "berth-system"), vec![host.to_owned()]].concat();
    Ok((BASE64.encode(authority.certificate_pem()), authority.issue_leaf(&names, now, LIFETIME)?))
}

/// A label of namespaces that only one webhook of a test is registered for.
pub const ONLY: &str = "berth-tests/only";
/// Of the certificates.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The longest drain, and a little.
const DRAIN_LIMIT: Duration = Duration::from_secs(110);

//! A running `berth webhook`.

use std::{
    net::SocketAddr,
    process::{Command, ExitStatus},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, ensure};
use berth_cert_manager::{Authority, service_names};
use berth_tests::{
    berth,
    processes::{Folder, Process},
    wait::until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::sleep;

/// A running `berth webhook`. It ends when it is dropped.
pub(crate) struct Replica {
    process: Process,
    pub(crate) reviews: SocketAddr,
    status: SocketAddr,
    /// One for all questions: making it takes longer than they do.
    client: reqwest::Client,
    _folder: Folder,
}

impl Replica {
    /// Starts one without a cluster, with a certificate by `authority` in files.
    pub(crate) async fn alone(authority: &Authority, configuration: &str) -> Self {
        let folder = Folder::new("replica").unwrap();
        let mut command = Command::new(berth::program().await.unwrap());
        let leaf = authority.issue_leaf(&names(), SystemTime::now(), HOUR).unwrap();
        command.args(["webhook", "--without-cluster"]);
        command.arg("--tls-cert").arg(folder.write("tls.crt", leaf.certificate_pem).unwrap());
        command.arg("--tls-key").arg(folder.write("tls.key", leaf.key_pem).unwrap());
        Self::start(command, folder, configuration).await
    }

    /// Starts one whose API server is at `api`, where perhaps nobody is.
    pub(crate) async fn in_cluster(api: SocketAddr, configuration: &str) -> Self {
        let folder = Folder::new("replica").unwrap();
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{api}") } }],
            "users": [{ "name": "test", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        });
        let mut command = Command::new(berth::program().await.unwrap());
        command.arg("webhook");
        command.env("KUBECONFIG", folder.write("kubeconfig", kubeconfig.to_string()).unwrap());
        Self::start(command, folder, configuration).await
    }

    async fn start(mut command: Command, folder: Folder, configuration: &str) -> Self {
        let configuration = ["apiVersion: berth.dev/v1alpha1\nkind: Configuration\n", configuration].concat();
        command.arg("--config").arg(folder.write("config.yaml", configuration).unwrap());
        command.args(["--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"]);
        command.env("RUST_LOG", "info");
        let process = Process::spawn("webhook", &command, folder.path()).unwrap();
        let ports = until("the webhook listens", LIMIT, async || {
            Ok((listening(&process.log(), "review")?, listening(&process.log(), "status")?))
        });
        let (reviews, status) = ports.await.unwrap();
        Self { process, reviews, status, client: reqwest::Client::new(), _folder: folder }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        let ready = until("the webhook is ready", LIMIT, async || {
            let (ready, words) = self.status("/readyz").await?;
            ensure!(ready, "{words}");
            Ok(())
        });
        ready.await.unwrap();
    }

    /// What its status port answers, and whether that is a success.
    pub(crate) async fn status(&self, path: &str) -> anyhow::Result<(bool, String)> {
        let answer = self.client.get(format!("http://{}{path}", self.status)).send().await?;
        Ok((answer.status().is_success(), answer.text().await?))
    }

    /// Whether the kubelet would let it live.
    pub(crate) async fn alive(&mut self) -> bool {
        self.process.ended().unwrap().is_none() && self.status("/livez").await.is_ok_and(|(alive, _)| alive)
    }

    /// What it has logged, a JSON object a line.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// SIGTERM, as a kubelet sends it.
    pub(crate) fn terminate(&mut self) {
        self.process.terminate();
    }

    pub(crate) fn kill(&self) {
        self.send(Signal::KILL);
    }

    /// From now on it is silent, and its kernel takes what it is sent.
    pub(crate) fn silence(&self) {
        self.send(Signal::STOP);
    }

    fn send(&self, signal: Signal) {
        let id = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.ended().unwrap() {
                return status;
            }
            assert!(began.elapsed() < limit, "it runs on: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Where the log says that the port `name` listens.
fn listening(log: &str, name: &str) -> anyhow::Result<SocketAddr> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ports = events.filter(|event| event["message"] == "listening" && event["port"] == name);
    let port = ports.next().with_context(|| format!("{name} does not listen: {log}"))?;
    Ok(port["address"].as_str().unwrap_or_default().parse()?)
}

/// The names that a certificate of Berth's has.
pub(crate) fn names() -> Vec<String> {
    service_names("berth-webhook", "berth-system")
}

/// A new authority.
pub(crate) fn authority() -> Authority {
    Authority::issue("test", SystemTime::now(), 24 * HOUR).unwrap()
}

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
/// For a start on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

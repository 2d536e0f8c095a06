//! The real binary: what it serves, how it ends, and what it says when it cannot begin.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod serving;
mod starting;

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime},
};

use berth_cert_manager::Authority;
use reqwest::StatusCode;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A running `berth webhook --without-cluster`.
struct Webhook {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    reviews: SocketAddr,
    status: SocketAddr,
    authority: Authority,
    _folder: TempDir,
}

impl Webhook {
    async fn start(configuration: &str) -> Self {
        Self::start_with(configuration, &SERVE, "").await
    }

    async fn start_with(configuration: &str, arguments: &[&str], kubeconfig: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = certificate(folder.path());
        std::fs::write(folder.path().join("config.yaml"), configuration).unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        let mut process = berth(folder.path(), arguments);
        process.env("KUBECONFIG", "kubeconfig").stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = process.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let reviews = listening(&mut log, "review").await;
        let status = listening(&mut log, "status").await;
        Self { process, log, reviews, status, authority, _folder: folder }
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.authority.certificate_pem().as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", self.reviews).no_proxy()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.reviews.port())
    }

    async fn status(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.status)).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// A connection such as an API server's: HTTP/1.1, kept open.
    async fn connection(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let socket = TcpStream::connect(self.reviews).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await.unwrap()
    }

    fn terminate(&self) {
        let id = self.process.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
}

/// `berth ARGUMENTS` in `folder`.
fn berth(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").env("HOME", folder).env_remove("KUBECONFIG");
    command
}

/// `tls.crt` and `tls.key` for `localhost` in `folder`.
fn certificate(folder: &Path) -> Authority {
    let (now, hour) = (SystemTime::now(), Duration::from_secs(60 * 60));
    let authority = Authority::issue("test", now, hour).unwrap();
    let leaf = authority.issue_leaf(&["localhost".to_owned()], now, hour).unwrap();
    std::fs::write(folder.join("tls.crt"), leaf.certificate_pem).unwrap();
    std::fs::write(folder.join("tls.key"), leaf.key_pem).unwrap();
    authority
}

/// The address of the port that the log calls `name`.
async fn listening(log: &mut Lines<BufReader<ChildStderr>>, name: &str) -> SocketAddr {
    loop {
        let line = timeout(PATIENCE, log.next_line()).await.unwrap().unwrap().expect("it ended instead of listening");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        if event["message"] == "listening" && event["port"] == name {
            return event["address"].as_str().unwrap().parse().unwrap();
        }
    }
}

const CONFIGURATION: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";
const ANY_PORT: &str = "127.0.0.1:0";
const SERVE: [&str; 12] = [
    "webhook",
    "--config",
    "config.yaml",
    "--listen",
    ANY_PORT,
    "--status-listen",
    ANY_PORT,
    "--tls-cert",
    "tls.crt",
    "--tls-key",
    "tls.key",
    "--without-cluster",
];
const PATIENCE: Duration = Duration::from_secs(10);

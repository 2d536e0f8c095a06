//! The real binary: what it serves, how it ends, and what it says when it cannot begin.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use berth_cert_manager::Authority;
use reqwest::{StatusCode, Version};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
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
        let folder = TempDir::new().unwrap();
        let authority = certificate(folder.path());
        std::fs::write(folder.path().join("config.yaml"), configuration).unwrap();
        let mut process = berth(folder.path(), &SERVE).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
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

fn review(uid: &str) -> Value {
    let container = json!({ "name": "app", "image": "Not an image" });
    let pod = json!({ "metadata": { "name": "any" }, "spec": { "containers": [container] } });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    let request = json!({ "uid": uid, "operation": "CREATE", "resource": resource, "namespace": "n", "object": pod });
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
}

/// Sends a review on `connection` as an API server does, and returns the head and the body of the answer.
async fn exchange(connection: &mut TlsStream<TcpStream>, uid: &str) -> (String, Value) {
    let body = review(uid).to_string();
    let head = format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all([head, body].concat().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = timeout(PATIENCE, connection.read_buf(&mut answer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed without an answer: {}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8(answer.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return (head.to_owned(), body);
        }
    }
}

#[tokio::test]
async fn it_answers_reviews_over_both_protocols_and_refuses_the_rest() {
    let webhook =
        Webhook::start("apiVersion: berth.dev/v1alpha1\nkind: Configuration\nlimits: { bodyBytes: 1Mi }\n").await;
    assert_eq!(webhook.status("/livez").await, (StatusCode::OK, "alive\n".to_owned()));
    assert_eq!(webhook.status("/readyz").await, (StatusCode::OK, "ready\n".to_owned()));

    let clients = [
        (webhook.client().http1_only().build().unwrap(), Version::HTTP_11),
        (webhook.client().build().unwrap(), Version::HTTP_2),
    ];
    for (client, version) in &clients {
        let post = async |path: &str, body: String| {
            let request = client.post(webhook.url(path)).header("Content-Type", "application/json").body(body);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.version(), *version);
            (answer.status(), answer.text().await.unwrap())
        };
        let (status, body) = post("/mutate?timeout=5s", review("7").to_string()).await;
        assert_eq!(status, StatusCode::OK);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["response"]["uid"], &body["response"]["allowed"]), (&json!("7"), &json!(true)));
        assert_eq!(body["response"]["patchType"], "JSONPatch", "the note is in the patch: {body}");
        let (_, body) = post("/observe?timeout=5s", review("7").to_string()).await;
        assert!(!body.contains("JSONPatch") && body.contains("warnings"), "{body}");

        let mut other_kind = review("7");
        other_kind["kind"] = json!("Pod");
        let mut other_version = review("7");
        other_version["apiVersion"] = json!("admission.k8s.io/v1beta1");
        for wrong in ["no JSON".to_owned(), review("").to_string(), other_version.to_string(), other_kind.to_string()] {
            let (status, body) = post("/mutate", wrong).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        }
        assert_eq!(post("/mutate", " ".repeat((1 << 20) + 1)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(post("/elsewhere", String::new()).await.0, StatusCode::NOT_FOUND);
    }
    let (status, metrics) = webhook.status("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in ["berth_not_reviews_total 10", "berth_bodies_bytes 0", "berth_configuration_valid 1"] {
        assert!(metrics.lines().any(|found| found == line), "no `{line}` in {metrics}");
    }
}

#[tokio::test]
async fn told_to_stop_it_serves_open_connections_and_ends_in_peace() {
    let mut webhook = Webhook::start("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n").await;
    let mut connection = webhook.connection().await;
    let (head, _) = exchange(&mut connection, "before").await;
    assert!(!head.contains("connection: close"), "{head}");

    let told = Instant::now();
    webhook.terminate();
    while webhook.status("/readyz").await.0 == StatusCode::OK {
        assert!(told.elapsed() < PATIENCE, "still ready");
    }
    assert!(webhook.status("/readyz").await.1.contains("stopping"));
    assert_eq!(webhook.status("/livez").await.0, StatusCode::OK);
    let (head, body) = exchange(&mut webhook.connection().await, "late").await;
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body["response"]["uid"], "late");
    let (head, body) = exchange(&mut connection, "open").await;
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body["response"]["uid"], "open");

    let ended = timeout(Duration::from_secs(30), webhook.process.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(told.elapsed() >= Duration::from_secs(10), "endpoints are removed late: {:?}", told.elapsed());
    let mut rest = Vec::new();
    while let Some(line) = webhook.log.next_line().await.unwrap() {
        rest.push(
            serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("not JSON: {line}"))["message"].clone(),
        );
    }
    assert_eq!(rest, ["draining", "drained"]);
}

/// Runs `berth` in a folder with a good certificate that `spoil` changes, and expects an exit code and words.
async fn ends(arguments: &[&str], spoil: impl FnOnce(&Path), code: i32, words: &str) {
    let folder = TempDir::new().unwrap();
    certificate(folder.path());
    std::fs::write(folder.path().join("config.yaml"), "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n").unwrap();
    spoil(folder.path());
    let output = timeout(PATIENCE, berth(folder.path(), arguments).kill_on_drop(true).output());
    let Output { status, stdout, stderr } = output.await.expect("it ends").unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
    let (said, silent) = if code == 0 { (stdout, stderr) } else { (stderr, stdout) };
    assert!(said.contains(words), "{arguments:?}: no `{words}` in {said}");
    assert_eq!(silent, "");
}

#[tokio::test]
async fn what_cannot_begin_says_why() {
    let as_it_is = |_: &Path| ();
    ends(&SERVE, |folder| std::fs::write(folder.join("tls.crt"), "nonsense").unwrap(), 64, "PEM block `CERTIFICATE`")
        .await;
    ends(&SERVE, |folder| std::fs::write(folder.join("tls.key"), "").unwrap(), 64, "PEM block `PRIVATE KEY`").await;
    ends(&SERVE, |folder| std::fs::remove_file(folder.join("tls.key")).unwrap(), 64, "cannot read tls.key").await;
    let other_key = |folder: &Path| {
        let key = std::fs::read(folder.join("tls.key")).unwrap();
        certificate(folder);
        std::fs::write(folder.join("tls.key"), key).unwrap();
    };
    ends(&SERVE, other_key, 64, "cannot be served together").await;
    ends(&SERVE, |folder| std::fs::write(folder.join("config.yaml"), "pins: {}").unwrap(), 64, "config.yaml").await;
    ends(&["webhook", "--without-cluster"], as_it_is, 64, "--tls-cert FILE --tls-key FILE").await;
    ends(&SERVE[..SERVE.len() - 1], as_it_is, 64, "KUBECONFIG").await;
    ends(&["webhook", "--tls-cert", "tls.crt"], as_it_is, 64, "--tls-key").await;
    ends(&["webhook", "--unknown"], as_it_is, 64, "--unknown").await;
    ends(&["unknown"], as_it_is, 64, "unknown").await;
    ends(&[], as_it_is, 64, "Usage: berth").await;
    ends(&["--help"], as_it_is, 0, "Usage: berth").await;
    ends(&["--version"], as_it_is, 0, "berth ").await;
}

#[tokio::test]
async fn a_taken_port_is_not_the_command_lines_fault() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments: Vec<_> = SERVE.iter().map(|&word| if word == ANY_PORT { address.as_str() } else { word }).collect();
    ends(&arguments, |_| (), 69, "cannot listen on 127.0.0.1:").await;
}

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

//! What it says when it cannot begin, and what it does while something is missing.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use axum::{Router, extract::Request};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
    time::timeout,
};

use crate::{ANY_PORT, CONFIGURATION, PATIENCE, SERVE, Webhook, berth, certificate};

#[tokio::test]
async fn started_without_the_api_it_lives_and_is_ready_soon_after_its_return() {
    let socket = TcpSocket::new_v4().unwrap();
    // Bound, so that nobody else gets it, and nobody listens.
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let api = socket.local_addr().unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{api}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    let with_cluster = &SERVE[..SERVE.len() - 1];
    let mut webhook = Webhook::start_with(CONFIGURATION, with_cluster, &kubeconfig.to_string()).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(webhook.status("/livez").await.0, StatusCode::OK);
        let (status, words) = webhook.status("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(words.contains("first list of nodes"), "{words}");
    }
    assert!(webhook.process.try_wait().unwrap().is_none());

    let lists = Router::new().fallback(async |request: Request| {
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            std::future::pending::<()>().await;
        }
        let list = json!({ "metadata": { "resourceVersion": "1" }, "items": [] });
        ([("Content-Type", "application/json")], list.to_string())
    });
    let listener = socket.listen(1024).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, lists).await.unwrap() });
    // Before it tries again it waits for up to one; a machine that does nothing else needs no more than two.
    let is_full = std::env::var("BERTH_BARS").is_ok_and(|bars| bars == "full");
    let (back, soon) = (Instant::now(), Duration::from_secs(if is_full { 2 } else { 10 }));
    while webhook.status("/readyz").await.0 != StatusCode::OK {
        assert!(back.elapsed() < soon, "not ready {:?} after the API's return", back.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs `berth` in a folder with a good certificate that `spoil` changes, and expects an exit code and words.
async fn ends(arguments: &[&str], spoil: impl FnOnce(&Path), code: i32, words: &str) {
    let folder = TempDir::new().unwrap();
    certificate(folder.path());
    std::fs::write(folder.path().join("config.yaml"), CONFIGURATION).unwrap();
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
    ends(&SERVE, other_key, 64, "does not belong to the certificate").await;
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
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments: Vec<_> = SERVE.iter().map(|&word| if word == ANY_PORT { address.as_str() } else { word }).collect();
    ends(&arguments, |_| (), 69, "cannot listen on 127.0.0.1:").await;
    let with_pull_secrets = |folder: &Path| {
        std::fs::write(folder.join("ca.crt"), certificate(folder).certificate_pem()).unwrap();
        let settings = "pullSecrets: {enabled: true, clientCAFile: ca.crt, clientNames: [kube-apiserver]}\n";
        std::fs::write(folder.join("config.yaml"), [CONFIGURATION, settings].concat()).unwrap();
    };
    ends(&arguments, with_pull_secrets, 69, "pullSecrets.enabled has no effect --without-cluster").await;
}

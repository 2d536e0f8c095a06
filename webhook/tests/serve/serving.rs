//! What it serves, and how it ends.

use std::time::{Duration, Instant};

use reqwest::{StatusCode, Version};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{CONFIGURATION, PATIENCE, Webhook};

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
    let mut webhook = Webhook::start(CONFIGURATION).await;
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

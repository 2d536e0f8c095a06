//! A Kubernetes API that comes and goes: it has no nodes, and the Secret `berth-tls`.

use std::{net::SocketAddr, time::SystemTime};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use berth_cert_manager::Authority;
use berth_tests::port::Port;
use futures::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use crate::replica::{HOUR, names};

/// The API server.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    _port: Port,
    secret: watch::Sender<Value>,
    running: Option<Runtime>,
}

impl Api {
    /// One that is not there yet. Its port is nobody else's.
    pub(crate) fn absent() -> Self {
        let port = Port::free().unwrap();
        Self { address: port.address(), _port: port, secret: watch::Sender::new(Value::Null), running: None }
    }

    /// Answers from now on.
    pub(crate) async fn come(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, router) = (self.address, Router::new().fallback(answer).with_state(self.secret.clone()));
        let listening = runtime.spawn(async move { TcpListener::bind(address).await.unwrap() });
        let listener = listening.await.unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        self.running = Some(runtime);
    }

    /// Is gone, with all its connections.
    pub(crate) fn go(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }

    /// Writes a new leaf by `authority` into the Secret, as the controller does.
    pub(crate) fn issue(&self, authority: &Authority) {
        let leaf = authority.issue_leaf(&names(), SystemTime::now(), HOUR).unwrap();
        self.write(&[
            ("tls.crt", &leaf.certificate_pem),
            ("tls.key", &leaf.key_pem),
            ("ca.crt", authority.certificate_pem()),
        ]);
    }

    /// Writes this into the Secret.
    pub(crate) fn write(&self, content: &[(&str, &str)]) {
        let data: serde_json::Map<_, _> =
            content.iter().map(|(key, text)| ((*key).to_owned(), BASE64.encode(text).into())).collect();
        self.secret.send_modify(|secret| {
            let version = version(secret) + 1;
            *secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
                "metadata": { "name": "berth-tls", "namespace": "berth-system", "resourceVersion": version.to_string() },
            });
        });
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.go();
    }
}

/// Lists and watches. Only the one Secret may be asked for, as the role allows.
async fn answer(State(secret): State<watch::Sender<Value>>, request: Request) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let is_secret = path.contains("/secrets");
    if is_secret && (!path.ends_with("/namespaces/berth-system/secrets") || !query.contains(ONE)) {
        return (StatusCode::FORBIDDEN, path.to_owned()).into_response();
    }
    let now = if is_secret { secret.borrow().clone() } else { Value::Null };
    let body = if query.contains("watch=true") {
        let changes = if is_secret { Some((secret.subscribe(), since(query))) } else { None };
        Body::from_stream(stream::unfold(changes, async |changes| {
            let Some((mut secret, since)) = changes else { return std::future::pending().await };
            let now = secret.wait_for(|secret| version(secret) > since).await.ok()?.clone();
            let line = format!("{}\n", json!({ "type": "MODIFIED", "object": now }));
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), Some((secret, version(&now)))))
        }))
    } else {
        let items: Vec<_> = Some(&now).filter(|now| !now.is_null()).into_iter().collect();
        let metadata = json!({ "resourceVersion": version(&now).to_string() });
        Body::from(json!({ "metadata": metadata, "items": items }).to_string())
    };
    ([("content-type", "application/json")], body).into_response()
}

fn version(secret: &Value) -> u64 {
    secret["metadata"]["resourceVersion"].as_str().map_or(1, |version| version.parse().unwrap())
}

/// After which version a watch begins.
fn since(query: &str) -> u64 {
    let version = query.split('&').find_map(|parameter| parameter.strip_prefix("resourceVersion="));
    version.map_or(1, |version| version.parse().unwrap())
}

const ONE: &str = "fieldSelector=metadata.name%3Dberth-tls";

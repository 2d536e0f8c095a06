//! A webhook that lets everything in and writes down what it was asked.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::Uri};
use serde_json::{Value, json};

use crate::{lock::locked, pki::Authority, serve::Server};

/// A running recorder.
pub struct Recorder {
    server: Server,
    bundle: String,
    calls: Calls,
}

/// One review.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Call {
    /// Where it was sent.
    pub path: String,
    /// `CREATE`, `UPDATE`.
    pub operation: String,
    /// `pods`, `pods/ephemeralcontainers`.
    pub resource: String,
    /// Of the object; empty where it has none.
    pub namespace: String,
}

type Calls = Arc<Mutex<Vec<Call>>>;

impl Recorder {
    /// Starts it with a certificate of `authority`.
    pub async fn start(authority: &Authority) -> anyhow::Result<Self> {
        let calls = Calls::default();
        let router = Router::new().fallback(record).with_state(calls.clone());
        let server = Server::start(router, Some(&authority.server(&["127.0.0.1"])?)).await?;
        Ok(Self { server, bundle: authority.bundle(), calls })
    }

    /// How a webhook configuration reaches it at `path`.
    pub fn client_config(&self, path: &str) -> Value {
        json!({ "url": format!("{}{path}", self.server.endpoint()), "caBundle": self.bundle })
    }

    /// What it was asked since this was last called, in order.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut locked(&self.calls))
    }
}

async fn record(State(calls): State<Calls>, uri: Uri, Json(review): Json<Value>) -> Json<Value> {
    let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (resource, subresource) = (text("/request/resource/resource"), text("/request/subResource"));
    locked(&calls).push(Call {
        path: uri.path().to_owned(),
        operation: text("/request/operation"),
        resource: [resource, subresource].join("/").trim_end_matches('/').to_owned(),
        namespace: text("/request/namespace"),
    });
    let response = json!({ "uid": text("/request/uid"), "allowed": true });
    Json(json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }))
}

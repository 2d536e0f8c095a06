//! Another webhook that comes after Berth and injects a sidecar: Berth is asked again, and pins the newcomer only.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Json, Router, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;

#[tokio::test]
async fn a_sidecar_that_another_webhook_injects_is_pinned_and_the_others_stay() {
    let world = world().await;
    let cluster = world.cluster;
    let mut labels = opted_in(Some("world"));
    labels.push(INJECTED);
    let namespace = Namespace::new(cluster, "injected", &labels).await;
    let _injector = injector(cluster, &namespace).await;
    let stored = namespace.create(&pod("web", "nginx")).await;
    let [nginx, app] = ["library/nginx:latest", "shop/app:latest"].map(|image| world.digest(image));
    let containers = stored["spec"]["containers"].as_array().unwrap();
    let images: Vec<_> = containers.iter().map(|container| (&container["name"], &container["image"])).collect();
    // Berth came first, the injector put its container before the others, and Berth came again.
    let expected = [("sidecar", format!("shop/app@{app}")), ("main", format!("nginx@{nginx}"))];
    let expected = expected.map(|(name, image)| (json!(name), json!(image)));
    assert_eq!(images, expected.iter().map(|(name, image)| (name, image)).collect::<Vec<_>>());
    let originals = stored["metadata"]["annotations"]["berth.dev/original-images"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(originals).unwrap(), json!({"main": "nginx", "sidecar": "shop/app"}));
}

/// Starts the injector and waits until the API server calls it in `namespace`, which has the label [`INJECTED`].
pub(super) async fn injector(cluster: &Cluster, namespace: &Namespace) -> JoinSet<io::Result<()>> {
    let listener = Listener::bind(cluster).await.unwrap();
    let url = format!("https://{}/", axum::serve::Listener::local_addr(&listener).unwrap());
    let mut injector = JoinSet::new();
    injector.spawn(async { axum::serve(listener, Router::new().route("/", post(inject))).await });
    cluster.apply(&registration(&url, &cluster.authority().bundle()).to_string()).await.unwrap();
    until("the API server calls the injector", LIMIT, async || {
        let pod = namespace.try_create(&pod("probe", "example.com/any:1"), true).await?;
        ensure!(pod["spec"]["containers"].as_array().is_some_and(|list| list.len() == 2), "{pod}");
        Ok(())
    })
    .await
    .unwrap();
    injector
}

/// The label of namespaces in which the injector is called.
pub(super) const INJECTED: (&str, &str) = ("berth-tests/inject", "yes");

/// Puts a sidecar before all containers.
async fn inject(Json(review): Json<Value>) -> Json<Value> {
    let present = review["request"]["object"]["spec"]["containers"].as_array().unwrap();
    let sidecar = json!({"name": "sidecar", "image": "shop/app", "imagePullPolicy": "Always"});
    let mut patch = json!([{"op": "add", "path": "/spec/containers/0", "value": sidecar}]);
    if present.iter().any(|container| container["name"] == "sidecar") {
        patch = json!([]);
    }
    let patch = STANDARD.encode(patch.to_string());
    Json(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch},
    }))
}

/// The name sorts behind Berth's.
fn registration(url: &str, bundle: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "zzz-injector"},
        "webhooks": [{
            "name": "injector.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "clientConfig": {"url": url, "caBundle": bundle},
            "namespaceSelector": {"matchLabels": {INJECTED.0: INJECTED.1}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    })
}

/// TLS at a free port of loopback.
struct Listener {
    plain: TcpListener,
    tls: TlsAcceptor,
}

impl Listener {
    async fn bind(cluster: &Cluster) -> anyhow::Result<Self> {
        let identity = cluster.authority().server(&["127.0.0.1"])?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
        Ok(Self { plain: TcpListener::bind("127.0.0.1:0").await?, tls: Arc::new(config).into() })
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, peer) = self.plain.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(socket).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.plain.local_addr()
    }
}

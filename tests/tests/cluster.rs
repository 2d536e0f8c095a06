//! The test cluster is what it says: the pinned version, nodes as written, webhooks called as in production, and
//! nothing left behind.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use berth_tests::{
    cluster::{Cluster, Node, Options},
    wait::until,
};
use futures::{StreamExt as _, future::join};
use k8s_openapi::api::core::v1;
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn is_the_version_that_the_module_pins() {
    let client = Cluster::shared().await.unwrap().client().await.unwrap();
    let version = client.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, "v1.36.3");
}

#[tokio::test]
async fn a_deployment_becomes_a_pod_on_the_node_that_it_selects() {
    let cluster = Cluster::shared().await.unwrap();
    let image = ["docker.io/library/app@sha256:0b", "docker.io/library/app:v1"];
    for name in ["deployed-a", "deployed-b"] {
        cluster.add(&Node::new(name).label("test", name).image(&image)).await.unwrap();
    }
    let nodes: Api<v1::Node> = Api::all(cluster.client().await.unwrap());
    let listed = nodes.get("deployed-b").await.unwrap().status.unwrap().images.unwrap();
    assert_eq!(listed[0].names.as_deref().unwrap(), image);

    cluster.namespace("deployed", &[]).await.unwrap();
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "app", "namespace": "deployed" },
        "spec": {
            "selector": { "matchLabels": { "app": "app" } },
            "template": {
                "metadata": { "labels": { "app": "app" } },
                "spec": { "containers": [{ "name": "app", "image": "app:v1" }], "nodeSelector": { "test": "deployed-b" } },
            },
        },
    });
    cluster.apply(&deployment.to_string()).await.unwrap();
    let pods = cluster.pods("deployed").await.unwrap();
    let pod = until("the Deployment has a Pod", LIMIT, async || {
        let pods = pods.list(&ListParams::default()).await?;
        pods.items.first().and_then(|pod| pod.metadata.name.clone()).context("there is none")
    });
    assert_eq!(cluster.node_of("deployed", &pod.await.unwrap()).await.unwrap(), "deployed-b");
}

#[tokio::test]
async fn a_new_node_is_nobodys_until_it_lists_its_images() {
    let cluster = Cluster::shared().await.unwrap();
    let nodes: Api<v1::Node> = Api::all(cluster.client().await.unwrap());
    let only = WatchParams::default().fields("metadata.name=new");
    let mut news = nodes.watch(&only, "0").await.unwrap().boxed();
    let node = Node::new("new").image(&["docker.io/library/app:v1"]);
    let (added, states) = join(cluster.add(&node), async {
        let mut states = Vec::new();
        while let Some(event) = news.next().await {
            let (WatchEvent::Added(node) | WatchEvent::Modified(node)) = event.unwrap() else { continue };
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            let images = node.status.and_then(|status| status.images).unwrap_or_default();
            // Those that Kubernetes adds go away by themselves: Pods may wait for that.
            let kept_off = taints.iter().any(|taint| !taint.key.starts_with("node.kubernetes.io/"));
            states.push((kept_off, images.len()));
            if taints.is_empty() {
                break;
            }
        }
        states
    })
    .await;
    added.unwrap();
    assert!(states.iter().all(|state| [(true, 0), (true, 1), (false, 1)].contains(state)), "{states:?}");
    assert_eq!(states.last(), Some(&(false, 1)));
}

#[tokio::test]
async fn another_user_has_no_rights() {
    let client = Cluster::shared().await.unwrap().client_for("mallory", &["strangers"]).await.unwrap();
    let denied = Api::<v1::Node>::all(client).list(&ListParams::default()).await.unwrap_err();
    let text = denied.to_string();
    assert!(text.contains(r#"User "mallory" cannot list resource "nodes""#), "{text}");
}

#[tokio::test]
async fn a_webhook_is_called_by_h2_at_loopback_and_by_http_1_elsewhere() {
    let cluster = Cluster::shared().await.unwrap();
    assert_eq!(protocol_of_a_webhook_at(cluster, "127.0.0.1").await.unwrap(), "h2");
    assert_eq!(protocol_of_a_webhook_at(cluster, cluster.other_address()).await.unwrap(), "http/1.1");
}

/// Registers a webhook for `ConfigMaps` of one namespace, makes the API server call it, and looks at the handshake.
async fn protocol_of_a_webhook_at(cluster: &Cluster, host: &str) -> anyhow::Result<String> {
    let name = format!("protocol-{}", host.replace('.', "-"));
    cluster.namespace(&name, &[]).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("https://{host}:{}/", listener.local_addr()?.port());
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [{
            "name": "protocol.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 5,
            "clientConfig": { "url": url, "caBundle": cluster.authority().bundle() },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"] }],
        }],
    });
    cluster.apply(&webhook.to_string()).await?;
    let asking = async {
        loop {
            let _ = cluster.kubectl(&["create", "configmap", "any", "-n", &name, "--dry-run=server"], "").await;
        }
    };
    let acceptor = acceptor(cluster, host)?;
    tokio::select! {
        handshake = async { acceptor.accept(listener.accept().await?.0).await } => {
            let handshake = handshake?;
            let protocol = handshake.get_ref().1.alpn_protocol().context("no protocol was negotiated")?;
            Ok(String::from_utf8(protocol.to_vec())?)
        }
        never = asking => never,
    }
}

fn acceptor(cluster: &Cluster, host: &str) -> anyhow::Result<TlsAcceptor> {
    let identity = cluster.authority().server(&[host])?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let mut config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

#[tokio::test]
async fn dropping_leaves_nothing() {
    let cluster = Cluster::start().await.unwrap();
    let (processes, folder) = (cluster.process_ids(), cluster.folder().path().to_owned());
    assert!(processes.len() == 4 && processes.iter().all(|id| runs(*id)), "{processes:?}");
    drop(cluster);
    none_is_left(&processes, &folder).unwrap();
}

#[tokio::test]
async fn an_api_server_that_was_killed_comes_back_with_everything() {
    let cluster = Cluster::start_with(&Options { only_api_server: true, ..Options::default() }).await.unwrap();
    cluster.namespace("kept", &[]).await.unwrap();
    let (before, client) = (cluster.process_ids(), cluster.client().await.unwrap());
    cluster.restart_api_server(Duration::ZERO).await.unwrap();
    Api::<v1::Namespace>::all(client).get("kept").await.unwrap();
    let (after, folder) = (cluster.process_ids(), cluster.folder().path().to_owned());
    let stayed = after.iter().filter(|id| before.contains(id)).count();
    assert_eq!((after.len(), stayed), (2, 1), "{before:?} became {after:?}");
    drop(cluster);
    none_is_left(&after, &folder).unwrap();
}

#[tokio::test]
async fn killing_the_owner_leaves_nothing() {
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "owns_a_cluster_until_it_is_killed", "--nocapture"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let told = lines.map(Result::unwrap).find_map(|line| line.strip_prefix(OWNER).map(str::to_owned)).unwrap();
    let (processes, folder): (Vec<u32>, PathBuf) = serde_json::from_str(&told).unwrap();
    assert!(!processes.is_empty() && processes.iter().all(|id| runs(*id)), "{processes:?}");

    owner.kill().unwrap();
    owner.wait().unwrap();
    until("nothing is left", LIMIT, async || none_is_left(&processes, &folder)).await.unwrap();
}

/// The other half of the test above, which starts it as a process of its own; does nothing otherwise.
#[tokio::test]
async fn owns_a_cluster_until_it_is_killed() {
    if env::var_os(OWNER).is_none() {
        return;
    }
    let options = Options { only_api_server: true, ..Options::default() };
    let cluster = Cluster::start_with(&options).await.unwrap();
    println!("\n{OWNER}{}", json!([cluster.process_ids(), cluster.folder().path()]));
    std::future::pending::<()>().await;
}

fn none_is_left(processes: &[u32], folder: &Path) -> anyhow::Result<()> {
    let left: Vec<_> = processes.iter().filter(|id| runs(**id)).collect();
    ensure!(left.is_empty(), "still there: {left:?}");
    ensure!(!folder.exists(), "still there: {}", folder.display());
    Ok(())
}

/// A process that has ended and that nobody has waited for (state Z) runs no more.
fn runs(process: u32) -> bool {
    let asked = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output();
    asked.is_ok_and(|answer| answer.stdout.first().is_some_and(|state| *state != b'Z'))
}

const OWNER: &str = "BERTH_TESTS_OWNER";
const LIMIT: Duration = Duration::from_secs(30);

//! What `manifests/base` says: the rights are applied as they are, the registration points to a process of the test.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::ONLY;
use crate::cluster::Cluster;

/// The objects of `manifests/base`.
pub(super) struct Manifests {
    objects: Vec<Value>,
}

/// Where the webhook is reached instead of through its Service.
pub(super) struct Server {
    /// Scheme, host and port.
    pub(super) url: String,
    /// The authorities that its certificate is verified against, PEM in base64.
    pub(super) bundle: String,
}

impl Manifests {
    /// Renders them by `kubectl kustomize`.
    pub(super) async fn read(cluster: &Cluster) -> anyhow::Result<Self> {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base");
        let base = base.to_str().context("the clone's path is not UTF-8")?;
        let rendered = output(cluster, &["kustomize", base], "").await?;
        let list = output(cluster, &["create", "--dry-run=client", "-o", "json", "-f", "-"], &rendered).await?;
        let objects = serde_json::Deserializer::from_str(&list).into_iter::<Value>().collect::<Result<Vec<_>, _>>()?;
        ensure!(!objects.is_empty(), "manifests/base renders to nothing");
        Ok(Self { objects })
    }

    /// Applies the namespace, the `ServiceAccounts` and their rights; not the Deployments, which nothing would run.
    pub(super) async fn apply_rights(&self, cluster: &Cluster) -> anyhow::Result<()> {
        for kinds in [NAMESPACE, RIGHTS] {
            let objects: Vec<_> = self.objects.iter().filter(|object| kinds.contains(&kind(object))).collect();
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            cluster.apply(&list.to_string()).await?;
        }
        Ok(())
    }

    /// Applies the webhook configurations, for the process at `server`.
    pub(super) async fn register(&self, cluster: &Cluster, server: &Server, only: Option<&str>) -> anyhow::Result<()> {
        for wanted in REGISTRATIONS {
            let shipped = self.objects.iter().find(|object| kind(object) == *wanted);
            let mut configuration = shipped.with_context(|| format!("manifests/base has no {wanted}"))?.clone();
            redirect(&mut configuration, server, only)?;
            cluster.apply(&configuration.to_string()).await?;
        }
        Ok(())
    }
}

/// Points all webhooks of `configuration` to `server`, for the namespaces of `only`.
fn redirect(configuration: &mut Value, server: &Server, only: Option<&str>) -> anyhow::Result<()> {
    let webhooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.context("a webhook configuration has webhooks")? {
        let path = webhook.pointer("/clientConfig/service/path").and_then(Value::as_str).unwrap_or_default();
        let url = [&server.url, path].concat();
        // A call that fails must fail the test, not admit the Pod as it is.
        let mut changes = json!({
            "clientConfig": { "service": null, "url": url, "caBundle": server.bundle },
            "failurePolicy": "Fail",
        });
        if let (Some(only), Some(changes)) = (only, changes.as_object_mut()) {
            changes.insert("namespaceSelector".to_owned(), json!({ "matchLabels": { ONLY: only } }));
        }
        json_patch::merge(webhook, &changes);
    }
    if let (Some(only), Some(name)) = (only, configuration.pointer_mut("/metadata/name")) {
        *name = json!(format!("zz-berth-{only}"));
    }
    Ok(())
}

impl Manifests {
    /// Applies all webhook configurations as they are shipped, but for two things: the Service leads to `port` of this
    /// machine, and a call that fails is an error, so that none goes by unseen.
    ///
    /// A Service by a name in the DNS is followed only by an API server that does not look for endpoints
    /// (`--enable-aggregator-routing=false`).
    pub(super) async fn register_service(&self, cluster: &Cluster, port: u16) -> anyhow::Result<()> {
        let shipped = self.objects.iter().filter(|object| REGISTRATIONS.contains(&kind(object)));
        let mut objects: Vec<_> = shipped.cloned().collect();
        ensure!(!objects.is_empty(), "manifests/base has no webhook configuration");
        let mut service = None;
        for webhook in objects.iter_mut().filter_map(|object| object.get_mut("webhooks")?.as_array_mut()).flatten() {
            json_patch::merge(
                webhook,
                &json!({ "clientConfig": { "service": { "port": port } }, "failurePolicy": "Fail" }),
            );
            service = webhook.pointer("/clientConfig/service").cloned();
        }
        let service = service.context("no webhook has a Service")?;
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": service.get("name"), "namespace": service.get("namespace") },
            "spec": { "type": "ExternalName", "externalName": "localhost" },
        }));
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        cluster.apply(&list.to_string()).await.map(drop)
    }
}

async fn output(cluster: &Cluster, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let output = cluster.kubectl(arguments, input).await?;
    ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

const REGISTRATIONS: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
const NAMESPACE: &[&str] = &["Namespace"];
const RIGHTS: &[&str] = &[
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    // What narrows a right.
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

//! The certificate as it is stored and published.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use berth_cert_manager::{Leaf, verify};
use berth_tests::cluster::Cluster;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret};
use kube::Api;

use crate::bed::SYSTEM;

/// What `berth-tls` holds.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) leaf: Leaf,
    pub(crate) bundle: String,
}

impl Serving {
    /// What it holds now.
    pub(crate) async fn read(cluster: &Cluster) -> anyhow::Result<Self> {
        let secret = secrets(cluster).await?.get(SERVING).await?;
        let data = secret.data.context("an empty Secret")?;
        let text = |key: &str| {
            let bytes = data.get(key).with_context(|| format!("{SERVING} has no {key}"))?;
            anyhow::Ok(String::from_utf8(bytes.0.clone())?)
        };
        let leaf = Leaf { certificate_pem: text("tls.crt")?, key_pem: text("tls.key")? };
        Ok(Self { leaf, bundle: text("ca.crt")? })
    }

    /// How long an API server that trusts its bundle takes it.
    pub(crate) fn verify(&self) -> anyhow::Result<Duration> {
        let now = SystemTime::now();
        let validity = verify(&self.leaf, &self.bundle, "berth-webhook.berth-system.svc", now)?;
        Ok(validity.not_after.duration_since(now)?)
    }

    /// The certificates of the bundle, PEM.
    pub(crate) fn authorities(&self) -> impl Iterator<Item = String> {
        let blocks = self.bundle.split_inclusive("-----END CERTIFICATE-----");
        blocks.map(|block| block.trim().to_owned()).filter(|block| !block.is_empty())
    }
}

/// The Secrets of Berth's namespace.
pub(crate) async fn secrets(cluster: &Cluster) -> anyhow::Result<Api<Secret>> {
    Ok(Api::namespaced(cluster.client().await?, SYSTEM))
}

/// The `caBundle` of each of its webhooks, PEM; empty where there is none.
pub(crate) async fn published(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client().await?);
    let webhooks = configurations.get("zz-berth.dev").await?.webhooks.unwrap_or_default();
    let bundle = |bundle: Option<k8s_openapi::ByteString>| String::from_utf8(bundle.unwrap_or_default().0);
    webhooks.into_iter().map(|webhook| Ok(bundle(webhook.client_config.ca_bundle)?)).collect()
}

/// The Secret that the webhook serves from.
pub(crate) const SERVING: &str = "berth-tls";
/// The Secret with the CA.
pub(crate) const AUTHORITY: &str = "berth-ca";

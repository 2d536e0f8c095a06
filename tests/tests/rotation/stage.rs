//! The cluster, the controller and the webhook of an experiment, and what their objects say.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use berth_cert_manager::{Authority, Leaf, verify};
use berth_tests::{
    berth::{managed, managed::Managed},
    cluster::Cluster,
    go_between::GoBetween,
    port::Port,
    wait::until,
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tokio::{sync::SemaphorePermit, time::Instant};

use super::{CALL, CONTROLLER, LIMIT, NAMESPACE, SYSTEM, WEBHOOK, turn};

/// What every experiment needs.
pub(crate) struct Stage {
    /// A cluster of its own: the objects have fixed names.
    pub(crate) cluster: Cluster,
    /// Between the controller and the API server.
    pub(crate) between: GoBetween,
    /// None while it is dead.
    pub(crate) controller: Option<Managed>,
    /// The replica that the API server calls.
    pub(crate) webhook: Managed,
    configuration: String,
    _turn: SemaphorePermit<'static>,
}

impl Stage {
    /// Everything, with certificates that last as long as `times` say, up to the first Pod that was reviewed.
    pub(crate) async fn start(times: &str) -> anyhow::Result<Self> {
        Self::start_with(times, None).await
    }

    /// The same, with a Secret that is there before Berth; `certificates` is that section of the configuration.
    pub(crate) async fn start_with(certificates: &str, secret: Option<&Secret>) -> anyhow::Result<Self> {
        let turn = turn().await;
        let cluster = Cluster::start_with(&managed::options()).await?;
        let port = Port::free()?;
        managed::install(&cluster, port.number()).await?;
        cluster.namespace(NAMESPACE, &[("berth.dev/admission", "enabled")]).await?;
        let configuration = configuration(certificates);
        if let Some(secret) = secret {
            let secrets = Api::namespaced(cluster.client().await?, SYSTEM);
            secrets.create(&PostParams::default(), secret).await?;
        }
        let between = GoBetween::start(&cluster, CONTROLLER, COUNTED)?;
        let controller = Managed::controller(&between.kubeconfig()?, &configuration).await?;
        let webhook = Managed::webhook(&kubeconfig(&cluster, WEBHOOK)?, &configuration, port).await?;
        let mut stage = Self { cluster, between, controller: Some(controller), webhook, configuration, _turn: turn };
        stage.webhook.ready(LIMIT).await?;
        stage.called().await?;
        Ok(stage)
    }

    /// Another replica, whose view of the API server is `between`'s.
    pub(crate) async fn replica(&self, between: &GoBetween) -> anyhow::Result<Managed> {
        let mut replica = Managed::webhook(&between.kubeconfig()?, &self.configuration, Port::free()?).await?;
        replica.ready(LIMIT).await?;
        Ok(replica)
    }

    /// Another controller, whose view of the API server is `between`'s.
    pub(crate) async fn another(&self, between: &GoBetween) -> anyhow::Result<Managed> {
        Managed::controller(&between.kubeconfig()?, &self.configuration).await
    }

    /// A new controller in place of one that is dead.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<&mut Managed> {
        let controller = self.another(&self.between).await?;
        Ok(self.controller.insert(controller))
    }

    /// A new controller in place of the one that runs, with another section `certificates`.
    pub(crate) async fn change(&mut self, certificates: &str) -> anyhow::Result<()> {
        self.controller = None;
        self.configuration = configuration(certificates);
        self.restart().await.map(drop)
    }

    /// Waits until the API server reviews Pods by the webhook.
    pub(crate) async fn called(&self) -> anyhow::Result<()> {
        let pods = self.cluster.pods(NAMESPACE).await?;
        until("Pods are reviewed", LIMIT, async || super::traffic::create(&pods).await).await
    }

    /// How often the controller has told this `reason`.
    pub(crate) async fn told(&self, reason: &str) -> anyhow::Result<usize> {
        let controller = self.controller.as_ref().context("there is no controller")?;
        let metrics = controller.status("/metrics").await?;
        let name = format!("berth_certificate_news_total{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
        count.map_or(Ok(0), |count| Ok(count.parse()?))
    }

    /// One of the two Secrets.
    pub(crate) async fn secret(&self, name: &str) -> anyhow::Result<Secret> {
        Ok(self.secrets().await?.get(name).await?)
    }

    pub(crate) async fn secrets(&self) -> anyhow::Result<Api<Secret>> {
        Ok(Api::namespaced(self.cluster.client().await?, SYSTEM))
    }

    /// A configuration as it is.
    pub(crate) async fn configuration(&self, kind: &str) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(self.configurations(kind).await?.get("zz-berth.dev").await?)?)
    }

    pub(crate) async fn configurations(&self, kind: &str) -> anyhow::Result<Api<DynamicObject>> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        Ok(Api::all_with(self.cluster.client().await?, &kind))
    }

    /// The bundles that API servers trust, decoded, of all webhooks of both configurations; at least one.
    pub(crate) async fn bundles(&self) -> anyhow::Result<Vec<String>> {
        let mut bundles = Vec::new();
        for kind in [MUTATING, VALIDATING] {
            let Some(found) = self.configurations(kind).await?.get_opt("zz-berth.dev").await? else { continue };
            for webhook in found.data["webhooks"].as_array().into_iter().flatten() {
                let bundle: ByteString = serde_json::from_value(webhook["clientConfig"]["caBundle"].clone())?;
                bundles.push(String::from_utf8(bundle.0)?);
            }
        }
        ensure!(!bundles.is_empty(), "there is no configuration");
        Ok(bundles)
    }

    /// Whether the Secrets hold a certificate that every API server and the webhook would accept now, and the CA that
    /// signed it.
    pub(crate) async fn good(&self) -> anyhow::Result<()> {
        let serving = self.secret("berth-tls").await?;
        let leaf = Leaf { certificate_pem: entry(&serving, "tls.crt")?, key_pem: entry(&serving, "tls.key")? };
        for bundle in self.bundles().await?.into_iter().chain([entry(&serving, "ca.crt")?]) {
            verify(&leaf, &bundle, CALL, SystemTime::now())?;
        }
        let authorities = self.secret("berth-ca").await?;
        let certificate = entry(&authorities, "ca.crt")?;
        Authority::from_pem(&certificate, &entry(&authorities, "ca.key")?)?;
        verify(&leaf, &certificate, CALL, SystemTime::now()).context("the leaf is another CA's")?;
        Ok(())
    }

    /// Who signed the certificate in the Secret.
    pub(crate) async fn issuer(&self) -> anyhow::Result<String> {
        issuer(entry(&self.secret("berth-tls").await?, "tls.crt")?.as_bytes())
    }

    /// Waits until all is [`good`](Self::good), and how long that took.
    pub(crate) async fn mended(&self, what: &str, limit: Duration) -> Duration {
        let started = Instant::now();
        until(&format!("{what} is mended"), limit, async || self.good().await).await.unwrap();
        started.elapsed()
    }

    /// Waits for an Event of Berth about an object whose name starts with `name`, and whose note has `words` in it.
    pub(crate) async fn said(
        &self,
        namespace: &str,
        name: &str,
        reason: &str,
        words: &[&str],
    ) -> anyhow::Result<Value> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
        let api = Api::<DynamicObject>::namespaced_with(self.cluster.client().await?, namespace, &kind);
        until(&format!("{reason} is said of {name}: {words:?}"), LIMIT, async || {
            let all = api.list(&ListParams::default()).await?.items.into_iter().map(|event| event.data);
            let about =
                |event: &Value| event["regarding"]["name"].as_str().is_some_and(|about| about.starts_with(name));
            let ours = all.filter(|event| event["reportingController"] == "berth.dev/controller" && about(event));
            let told: Vec<_> = ours.filter(|event| event["reason"] == reason).collect();
            let note = |event: &Value| event["note"].as_str().unwrap_or_default().to_owned();
            let found = told.iter().find(|event| words.iter().all(|word| note(event).contains(word)));
            found.cloned().with_context(|| format!("it said {:?}", told.iter().map(note).collect::<Vec<_>>()))
        })
        .await
    }
}

fn configuration(certificates: &str) -> String {
    format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\ncertificates: {{{certificates}}}\n")
}

/// With which `user` reaches the API server itself.
pub(crate) fn kubeconfig(cluster: &Cluster, user: &str) -> anyhow::Result<String> {
    cluster.authority().kubeconfig(cluster.server(), user, None)
}

/// An entry of a Secret.
pub(crate) fn entry(secret: &Secret, name: &str) -> anyhow::Result<String> {
    let ByteString(bytes) = secret.data.as_ref().and_then(|data| data.get(name)).context("an entry is missing")?;
    Ok(String::from_utf8(bytes.clone())?)
}

/// The subject of the CA that signed a certificate.
fn issuer(pem: &[u8]) -> anyhow::Result<String> {
    let der = CertificateDer::from_pem_slice(pem).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der)?;
    Ok(certificate.issuer().to_string())
}

pub(crate) const MUTATING: &str = "MutatingWebhookConfiguration";
pub(crate) const VALIDATING: &str = "ValidatingWebhookConfiguration";
/// The writes of a rotation, as paths have them.
pub(crate) const COUNTED: &[&str] = &["/secrets", "webhookconfigurations/"];

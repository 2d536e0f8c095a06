//! Certificates that somebody else brings, in a Secret as the CNCF project cert-manager keeps it.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::ensure;
use berth_cert_manager::{Authority, Leaf, service_names};
use berth_tests::wait::until;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::{
    LIMIT, SYSTEM,
    rotations::LAGS,
    stage::{Stage, entry},
    traffic::{Traffic, connect},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_brings_is_published_and_replaced_and_no_call_fails() {
    let (first, second) = (Owner::new("first"), Owner::new("second"));
    let secret = first.secret(&first.leaf());
    let stage = Stage::start_with("source: secret", Some(&secret)).await.unwrap();
    assert!(stage.secrets().await.unwrap().get_opt("berth-ca").await.unwrap().is_none(), "Berth made a CA of its own");
    for bundle in stage.bundles().await.unwrap() {
        assert_eq!(bundle.trim(), first.pem(), "what was brought is published as it is");
    }
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &LAGS).await.unwrap();

    // Renewed by the same authority.
    let renewed = first.leaf();
    bring(&stage, &first.content(&renewed)).await;
    serves(&stage, &renewed, &[&first]).await;

    // By another one, all at once.
    let other = second.leaf();
    bring(&stage, &second.content(&other)).await;
    serves(&stage, &other, &[&first, &second]).await;

    // With a key that is another's: it is named, and what was served is served on.
    let broken = json!({ "tls.key": first.leaf().key_pem });
    bring(&stage, &broken).await;
    stage.said(SYSTEM, "berth-tls", "CertificateRefused", &["key"]).await.unwrap();
    serves(&stage, &other, &[&first, &second]).await;
    let mended = second.leaf();
    bring(&stage, &second.content(&mended)).await;
    serves(&stage, &mended, &[&first, &second]).await;

    traffic.end("brought").await.none_failed();
    for bundle in stage.bundles().await.unwrap() {
        assert!(bundle.contains(second.pem()) && bundle.contains(first.pem()), "the one before stays for a while");
    }
}

/// Who serves by files has a file with the CAs, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_in_a_file_are_published_and_replaced_and_no_call_fails() {
    let (first, second) = (Owner::new("first"), Owner::new("second"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    fs::write(&file, first.pem()).unwrap();
    let certificates = format!("source: files, caFile: {}, hold: 2s", file.display());
    let secret = first.secret(&first.leaf());
    let stage = Stage::start_with(&certificates, Some(&secret)).await.unwrap();
    published(&stage, &[&first]).await;
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &LAGS).await.unwrap();

    // Garbage is not put into force.
    fs::write(&file, "garbage").unwrap();
    let invalid = "berth_configuration_valid 0\n";
    until("the file is refused", LIMIT, async || {
        let metrics = stage.controller.as_ref().unwrap().status("/metrics").await?;
        ensure!(metrics.contains(invalid), "it is in force");
        Ok(())
    })
    .await
    .unwrap();
    published(&stage, &[&first]).await;

    // Both, the new leaf, and then the new one alone: the one before goes when its time is over.
    fs::write(&file, [first.pem(), second.pem()].join("\n")).unwrap();
    published(&stage, &[&first, &second]).await;
    let leaf = second.leaf();
    bring(&stage, &second.content(&leaf)).await;
    serves(&stage, &leaf, &[&first, &second]).await;
    fs::write(&file, second.pem()).unwrap();
    published(&stage, &[&second]).await;
    traffic.end("files").await.none_failed();
    assert!(stage.secrets().await.unwrap().get_opt("berth-ca").await.unwrap().is_none(), "Berth made a CA of its own");
}

/// Waits until just the CAs of these are published.
async fn published(stage: &Stage, owners: &[&Owner]) {
    until("their CAs are published", LIMIT, async || {
        let bundles = stage.bundles().await?;
        let all = |bundle: &String| {
            let count = bundle.matches("BEGIN CERTIFICATE").count();
            count == owners.len() && owners.iter().all(|owner| bundle.contains(owner.pem()))
        };
        ensure!(bundles.iter().all(all), "{bundles:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_berth_to_somebody_else_and_back_no_call_fails() {
    let mut stage = Stage::start("hold: 2s").await.unwrap();
    let own = stage.bundles().await.unwrap().concat();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &LAGS).await.unwrap();

    stage.change("source: secret, hold: 2s").await.unwrap();
    let owner = Owner::new("somebody");
    let leaf = owner.leaf();
    bring(&stage, &owner.content(&leaf)).await;
    let kept = json!({ "metadata": { "annotations": { KEPT: "berth-tls" } } });
    let secrets = stage.secrets().await.unwrap();
    secrets.patch("berth-tls", &PatchParams::default(), &Patch::Merge(kept)).await.unwrap();
    serves(&stage, &leaf, &[&owner]).await;
    until("Berth's own CA is not trusted any more", LIMIT, async || {
        let bundles = stage.bundles().await?;
        ensure!(bundles.iter().all(|bundle| bundle.trim() == owner.pem()), "{bundles:?}");
        Ok(())
    })
    .await
    .unwrap();

    // The old CA is still in its Secret.
    stage.change("hold: 2s").await.unwrap();
    stage.mended("Berth's own certificate", LIMIT).await;
    let back = stage.secret("berth-tls").await.unwrap();
    assert!(!back.metadata.annotations.iter().flatten().any(|(key, _)| key == KEPT), "nobody else keeps it any more");
    serves_by(&stage, &entry(&back, "tls.crt").unwrap(), &entry(&back, "ca.crt").unwrap()).await;
    traffic.end("back").await.none_failed();
    for bundle in stage.bundles().await.unwrap() {
        assert!(bundle.contains(owner.pem()), "somebody's last certificate has not expired");
        assert!(own.contains(bundle.replace(owner.pem(), "").trim()), "it is another CA than before");
    }
}

/// Somebody who has an authority.
struct Owner(Authority);

impl Owner {
    fn new(name: &str) -> Self {
        Self(Authority::issue(name, SystemTime::now(), DAY).unwrap())
    }

    fn pem(&self) -> &str {
        self.0.certificate_pem().trim()
    }

    fn leaf(&self) -> Leaf {
        self.0.issue_leaf(&service_names("berth-webhook", SYSTEM), SystemTime::now(), DAY).unwrap()
    }

    fn secret(&self, leaf: &Leaf) -> Secret {
        let secret = json!({
            "metadata": { "name": "berth-tls", "namespace": SYSTEM },
            "type": "kubernetes.io/tls",
            "stringData": self.content(leaf),
        });
        serde_json::from_value(secret).unwrap()
    }

    fn content(&self, leaf: &Leaf) -> Value {
        json!({ "tls.crt": leaf.certificate_pem, "tls.key": leaf.key_pem, "ca.crt": self.pem() })
    }
}

async fn bring(stage: &Stage, content: &Value) {
    let patch = Patch::Merge(json!({ "stringData": content }));
    stage.secrets().await.unwrap().patch("berth-tls", &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until the webhook shows this certificate to whoever trusts these.
async fn serves(stage: &Stage, leaf: &Leaf, owners: &[&Owner]) {
    let bundle = owners.iter().map(|owner| owner.pem()).collect::<Vec<_>>().join("\n");
    serves_by(stage, &leaf.certificate_pem, &bundle).await;
}

async fn serves_by(stage: &Stage, certificate: &str, bundle: &str) {
    let wanted = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    until("the certificate is served", LIMIT, async || {
        let shown = connect(&stage.webhook.address(), Some(bundle.as_bytes())).await?;
        ensure!(shown == wanted, "it is another one");
        Ok(())
    })
    .await
    .unwrap();
}

/// On Secrets that the CNCF project cert-manager writes.
const KEPT: &str = "cert-manager.io/certificate-name";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

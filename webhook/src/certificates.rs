//! The certificates that API servers know Berth by: the library keeps them, as the configuration says, and what it does
//! becomes Events and metrics.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use berth_cert_manager::{About, Bundle, Manager, News, Observer, Settings, Subject, plan::Status, settings::Source};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::sync::watch;

use crate::{
    config::{CertificateSource, Certificates},
    events::{Reason, Recorder},
    telemetry::Metrics,
};

/// Keeps them for ever, as `wanted` says from time to time.
pub async fn keep(client: Client, mut wanted: watch::Receiver<Settings>, events: Arc<Recorder>, metrics: Arc<Metrics>) {
    loop {
        let settings = wanted.borrow_and_update().clone();
        let witness = Witness { events: events.clone(), metrics: metrics.clone() };
        let manager = Manager::new(client.clone(), settings, witness);
        tokio::select! {
            never = manager.run() => match never {},
            // It may be stopped between any two steps.
            changed = wanted.changed() => if changed.is_err() {
                match manager.run().await {}
            },
        }
    }
}

/// What the library is to do in Berth's own `namespace`. Reads the file with the CAs, where one is to be published.
pub fn settings(wanted: &Certificates, namespace: &str) -> anyhow::Result<Settings> {
    let source = match (wanted.source, &wanted.ca_file) {
        (CertificateSource::Berth, _) => Source::Manager,
        (CertificateSource::Secret, _) => Source::Secret,
        (CertificateSource::Files, Some(file)) => {
            let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            Source::Authorities(Bundle::read(&pem))
        }
        (CertificateSource::Files | CertificateSource::None, _) => Source::Nobody,
    };
    let Certificates { ca_lifetime, leaf_lifetime, hold, .. } = *wanted;
    Ok(Settings { source, ca_lifetime, leaf_lifetime, hold, ..Settings::berth(namespace) })
}

/// Passes on what happens.
struct Witness {
    events: Arc<Recorder>,
    metrics: Arc<Metrics>,
}

impl Observer for Witness {
    fn happened(&self, about: &About, news: &News) {
        let reason = Reason::Certificate { word: news.reason(), warning: news.is_warning() };
        self.events.say_of(reference(about), reason, &news.to_string());
        self.metrics.rotation.happened(news.reason());
    }

    fn looked(&self, status: &Status) {
        self.metrics.rotation.looked(status);
    }
}

/// As an Event refers to it.
fn reference(about: &About) -> ObjectReference {
    let About { subject, namespace, uid } = about;
    let api_version = match subject {
        Subject::Secret(_) => "v1",
        Subject::Configuration(_) => "admissionregistration.k8s.io/v1",
    };
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(subject.kind().to_owned()),
        namespace: namespace.clone(),
        name: Some(subject.name().to_owned()),
        uid: uid.clone(),
        ..ObjectReference::default()
    }
}

/// The name of both webhook configurations.
pub const CONFIGURATION: &str = "zz-berth.dev";

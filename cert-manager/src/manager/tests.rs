mod chaos;

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    About, News, Served,
    plan::Status,
    settings::ConfigurationName,
    store::{Fake, Fault, Webhook},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-21 00:00 UTC.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
}

/// Remembers the reasons.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<&'static str>>>);

impl Observer for Ear {
    fn happened(&self, _: &About, news: &News) {
        self.0.lock().unwrap().push(news.reason());
    }
    fn looked(&self, _: &Status) {}
}

/// A cluster with the configurations of the manifests, and a manager in it.
struct World {
    manager: Manager<Fake, Ear>,
    ear: Ear,
    now: SystemTime,
}

impl World {
    fn new(settings: Settings) -> Self {
        let fake = Fake::default();
        for name in &settings.configurations {
            fake.edit_configuration(name, "helm", |configuration| {
                let webhook = |name: &str| Webhook { name: name.to_owned(), bundle: crate::Bundle::default() };
                configuration.webhooks = vec![webhook("mutate.berth.dev"), webhook("observe.berth.dev")];
            });
        }
        let ear = Ear::default();
        Self { manager: Manager::with_store(fake, settings, ear.clone()), ear, now: start() }
    }

    /// Acts until there is nothing to do, and says until when.
    async fn settle(&self) -> Option<SystemTime> {
        for _ in 0..20 {
            let look = self.manager.look(self.now).await.unwrap();
            if let Action::Wait { until } = look.action {
                return until;
            }
            self.manager.act(&look).await.unwrap();
        }
        panic!("it never settles");
    }

    async fn later(&mut self, time: Duration) -> Option<SystemTime> {
        self.now += time;
        self.settle().await
    }

    fn heard(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.ear.0.lock().unwrap())
    }

    async fn served(&self) -> Served {
        let secret = self.manager.store.secret("berth-tls").await.unwrap().unwrap();
        let entry = |name| secret.entry(name).unwrap();
        let (certificate, key, bundle) = (entry("tls.crt"), entry("tls.key"), entry("ca.crt"));
        Served::from_parts(certificate, key, bundle, &self.manager.settings.call(), self.now).unwrap()
    }

    async fn bundle(&self, name: &ConfigurationName) -> crate::Bundle {
        let configuration = self.manager.store.configuration(name).await.unwrap().unwrap();
        let bundles: Vec<_> = configuration.webhooks.into_iter().map(|webhook| webhook.bundle).collect();
        assert!(bundles.windows(2).all(|two| two[0].is(&two[1])), "{bundles:?}");
        bundles.into_iter().next().unwrap()
    }
}

#[tokio::test]
async fn a_year_passes() {
    let mut world = World::new(Settings::berth("berth-system"));
    let names = world.manager.settings.configurations.clone();
    let until = world.settle().await;
    assert_eq!(world.heard(), ["RotationStarted", "CertificateIssued"]);
    assert_eq!(until, Some(start() + 60 * DAY), "two thirds of 90 days");
    let first = world.served().await;
    for name in &names {
        assert_eq!(world.bundle(name).await.iter().count(), 1);
    }

    let mut issued = 0;
    while world.now < start() + 243 * DAY {
        world.later(DAY).await;
        issued += world.heard().len();
    }
    assert_eq!(issued, 4, "after 60, 120, 180 and 240 days");

    // Two thirds of the CA's life are over after 243 days and 8 hours.
    let until = world.later(DAY).await;
    assert_eq!(until, Some(world.now + Duration::from_secs(600)), "the hold");
    assert_eq!(world.heard(), ["RotationStarted"]);
    for name in &names {
        assert_eq!(world.bundle(name).await.iter().count(), 2);
    }
    world.later(Duration::from_secs(600)).await;
    assert_eq!(world.heard(), ["CertificateIssued", "RotationFinished"]);
    let second = world.served().await;
    assert!(!second.authorities().is(first.authorities()));

    let revision = world.manager.store.revision();
    for _ in 0..58 {
        world.later(DAY).await;
    }
    assert_eq!(world.manager.store.revision(), revision, "nothing is written where nothing is to be done");
    for _ in 0..33 {
        world.later(DAY).await;
    }
    for name in &names {
        assert_eq!(world.bundle(name).await.iter().count(), 1, "the last leaf of the old CA has expired");
    }
    assert_eq!(world.heard(), ["CertificateIssued"]);
}

#[tokio::test]
async fn each_fault_of_an_object_is_told_once_for_each_version_of_it() {
    let world = World::new(Settings::berth("berth-system"));
    world.settle().await;
    world.heard();
    for _ in 0..2 {
        world.manager.store.edit_secret("berth-tls", |secret| {
            secret.annotations.insert("cert-manager.io/certificate-name".to_owned(), "berth-tls".to_owned());
            secret.data.remove("tls.key");
        });
        for _ in 0..3 {
            world.manager.look(world.now).await.unwrap();
        }
        assert_eq!(world.heard(), ["CertificateRefused", "CertificateTrouble"]);
    }
    world.settle().await;
    assert_eq!(world.heard(), ["CertificateIssued"]);
    let mended = world.manager.store.secret("berth-tls").await.unwrap().unwrap();
    assert!(mended.annotations.keys().all(|key| key.starts_with("berth.dev/")), "{mended:?}");
}

/// An API server that restarts is no news; one that stays away is, and so is a right that is missing, but not each second.
#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_not_told_and_nothing_is_told_again_within_a_minute() {
    let world = World::new(Settings::berth("berth-system"));
    let error = |fault| StoreError { verb: "get", subject: Subject::Secret("berth-ca".to_owned()), fault };
    let away = || error(Fault::Unavailable { said: "connection refused".to_owned() });
    let forbidden = || error(Fault::Forbidden { said: "secrets \"berth-ca\" is forbidden".to_owned() });
    let teller = &world.manager.teller;
    for before in 0..4 {
        for fault in [away(), forbidden(), error(Fault::Conflict)] {
            teller.unheard(&fault, before);
            teller.failed(&fault.into(), before);
        }
    }
    teller.unheard(&away(), 4);
    assert_eq!(world.heard(), [""; 0]);
    teller.failed(&away().into(), 4);
    assert_eq!(world.heard(), ["CertificateTrouble"]);
    for _ in 0..119 {
        teller.unheard(&forbidden(), 4);
        teller.failed(&forbidden().into(), 4);
        time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(world.heard(), ["CertificateTrouble"; 2]);
}

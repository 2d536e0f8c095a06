//! What every [`Store`] must do, as one suite: the fake passes it, and the API server.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what does not conform ends the test")]

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures::future::{self, Either};
use secrecy::SecretSlice;
use tokio::{sync::Notify, time};

use super::{ConfigurationChange, Secret, SecretChange, Store, StoreError, Webhook};
use crate::{
    Authority, Bundle, Settings,
    settings::{ConfigurationName, Kind},
};

/// Does what administrators do, behind the store's back.
pub trait World {
    /// Deletes a Secret.
    fn delete_secret(&self, name: &str) -> impl Future<Output = ()>;

    /// Makes a configuration with webhooks of these names.
    fn make_configuration(&self, name: &ConfigurationName, webhooks: &[&str]) -> impl Future<Output = ()>;

    /// Takes the bundle from every webhook of a configuration.
    fn wipe(&self, name: &ConfigurationName) -> impl Future<Output = ()>;

    /// Deletes a configuration.
    fn delete_configuration(&self, name: &ConfigurationName) -> impl Future<Output = ()>;
}

/// Runs every check. Nothing that `settings` name may exist yet.
///
/// # Panics
/// If a check fails.
pub async fn check(store: &impl Store, settings: &Settings, world: &impl World) {
    let suite = Suite { store, settings, world };
    suite.a_secret_is_made_once().await;
    suite.a_secret_changes_only_at_the_version_that_was_read().await;
    suite.what_is_not_named_stays().await;
    suite.a_secret_that_was_deleted_is_not_made_by_a_change().await;
    for kind in [Kind::Mutating, Kind::Validating] {
        let name = settings.configurations.iter().find(|name| name.kind == kind).unwrap();
        suite.one_bundle_changes_and_nothing_else(name).await;
        suite.a_configuration_changes_only_at_the_version_that_was_read(name).await;
        suite.a_configuration_that_was_deleted_is_not_made(name).await;
    }
    suite.news_come().await;
}

struct Suite<'a, S, W> {
    store: &'a S,
    settings: &'a Settings,
    world: &'a W,
}

impl<S: Store, W: World> Suite<'_, S, W> {
    async fn a_secret_is_made_once(&self) {
        let name = &self.settings.authority_secret;
        assert!(self.secret(name).await.is_none());
        let first = change(&[("a", Some("1"))], &[("x", Some(b"first")), ("none", None)]);
        self.store.create_secret(name, "Opaque", first).await.unwrap();
        conflicts(self.store.create_secret(name, "Opaque", change(&[], &[("x", Some(b"second"))])).await);
        let made = self.present(name).await;
        assert_eq!(made.entry("x"), Some(b"first".as_slice()));
        assert_eq!(made.data.len(), 1);
        assert_eq!(made.annotations.get(&key("a")).map(String::as_str), Some("1"));
        assert!(!made.uid.is_empty() && !made.version.is_empty());
    }

    async fn a_secret_changes_only_at_the_version_that_was_read(&self) {
        let name = &self.settings.authority_secret;
        let before = self.present(name).await;
        let to = |value: &'static [u8]| change(&[], &[("x", Some(value))]);
        self.change(name, &before.version, to(b"winner")).await;
        conflicts(self.store.change_secret(name, &before.version, to(b"loser")).await);
        let after = self.present(name).await;
        assert_eq!(after.entry("x"), Some(b"winner".as_slice()));
        assert_eq!(before.uid, after.uid);
        assert_ne!(before.version, after.version);
    }

    async fn what_is_not_named_stays(&self) {
        let name = &self.settings.authority_secret;
        let one = change(&[("b", Some("2"))], &[("y", Some(&[0, 159, 146, 150]))]);
        self.change(name, &self.present(name).await.version, one).await;
        let removed = change(&[("a", None), ("b", Some("3"))], &[("x", None), ("not there", None)]);
        self.change(name, &self.present(name).await.version, removed).await;
        let left = self.present(name).await;
        assert_eq!(left.data.keys().collect::<Vec<_>>(), ["y"]);
        assert_eq!(left.entry("y"), Some([0, 159, 146, 150].as_slice()), "any bytes");
        assert_eq!(left.annotations.get(&key("b")).map(String::as_str), Some("3"));
        assert_eq!(left.annotations.get(&key("a")), None);
    }

    async fn a_secret_that_was_deleted_is_not_made_by_a_change(&self) {
        let name = &self.settings.authority_secret;
        let before = self.present(name).await;
        self.world.delete_secret(name).await;
        conflicts(self.store.change_secret(name, &before.version, change(&[], &[("x", Some(b"1"))])).await);
        assert!(self.secret(name).await.is_none());
        self.store.create_secret(name, "Opaque", change(&[], &[])).await.unwrap();
        conflicts(self.store.change_secret(name, &before.version, change(&[], &[("x", Some(b"1"))])).await);
        assert_ne!(self.present(name).await.uid, before.uid);
    }

    async fn one_bundle_changes_and_nothing_else(&self, name: &ConfigurationName) {
        assert!(self.configuration(name).await.is_none());
        self.world.make_configuration(name, &["c.berth.dev", "a.berth.dev", "b.berth.dev"]).await;
        let [one, two] = [bundle(), bundle()];
        let webhook = |name: &str, bundle: &Bundle| Webhook { name: name.to_owned(), bundle: bundle.clone() };
        self.publish(name, vec![webhook("c.berth.dev", &one), webhook("b.berth.dev", &two)], Some("7")).await;
        self.publish(name, vec![webhook("a.berth.dev", &one.with(&two))], None).await;
        let found = self.configuration(name).await.unwrap();
        let names: Vec<_> = found.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        assert_eq!(names, ["c.berth.dev", "a.berth.dev", "b.berth.dev"], "webhooks are called in this order");
        let bundles: Vec<_> = found.webhooks.iter().map(|webhook| &webhook.bundle).collect();
        assert!(bundles.iter().zip([&one, &one.with(&two), &two]).all(|(found, put)| found.is(put)));
        assert_eq!(found.annotations.get(&key("generation")), None);

        self.world.wipe(name).await;
        let wiped = self.configuration(name).await.unwrap();
        assert!(wiped.webhooks.iter().all(|webhook| webhook.bundle.is_empty()));
        assert!(wiped.other_writer.is_some(), "somebody else wrote it");
    }

    async fn a_configuration_changes_only_at_the_version_that_was_read(&self, name: &ConfigurationName) {
        let before = self.configuration(name).await.unwrap();
        let webhooks = || vec![Webhook { name: "a.berth.dev".to_owned(), bundle: bundle() }];
        self.publish(name, webhooks(), Some("8")).await;
        let change = ConfigurationChange { annotations: BTreeMap::new(), bundles: webhooks() };
        conflicts(self.store.change_configuration(name, &before.version, change).await);
    }

    async fn a_configuration_that_was_deleted_is_not_made(&self, name: &ConfigurationName) {
        let before = self.configuration(name).await.unwrap();
        self.world.delete_configuration(name).await;
        let bundles = vec![Webhook { name: "a.berth.dev".to_owned(), bundle: bundle() }];
        let change = ConfigurationChange { annotations: BTreeMap::new(), bundles };
        conflicts(self.store.change_configuration(name, &before.version, change).await);
        assert!(self.configuration(name).await.is_none());
    }

    /// Each kind of object that is followed wakes whoever waits.
    async fn news_come(&self) {
        let (news, failed) = (Notify::new(), |error: StoreError, _| panic!("{error}"));
        let watch = pin!(self.store.follow(&news, failed));
        let check = pin!(async {
            self.settled(&news).await;
            self.world.delete_secret(&self.settings.authority_secret).await;
            self.heard(&news, "a Secret was deleted").await;
            let made = self.store.create_secret(&self.settings.serving_secret, "Opaque", change(&[], &[])).await;
            made.unwrap();
            self.heard(&news, "a Secret was made").await;
            for name in &self.settings.configurations {
                self.world.make_configuration(name, &["a.berth.dev"]).await;
                self.heard(&news, "a configuration was made").await;
                self.world.wipe(name).await;
                self.heard(&news, "a configuration was changed").await;
            }
        });
        match future::select(watch, check).await {
            Either::Left((never, _)) => match never {},
            Either::Right(((), _)) => (),
        }
    }

    async fn heard(&self, news: &Notify, what: &str) {
        assert!(time::timeout(NEWS_LIMIT, news.notified()).await.is_ok(), "no news that {what}");
        self.settled(news).await;
    }

    /// Until it is silent.
    async fn settled(&self, news: &Notify) {
        while time::timeout(SILENCE, news.notified()).await.is_ok() {}
    }

    async fn secret(&self, name: &str) -> Option<Secret> {
        self.store.secret(name).await.unwrap()
    }

    async fn present(&self, name: &str) -> Secret {
        self.secret(name).await.unwrap()
    }

    async fn configuration(&self, name: &ConfigurationName) -> Option<super::Configuration> {
        self.store.configuration(name).await.unwrap()
    }

    async fn change(&self, name: &str, version: &str, change: SecretChange) {
        self.store.change_secret(name, version, change).await.unwrap();
    }

    async fn publish(&self, name: &ConfigurationName, bundles: Vec<Webhook>, generation: Option<&str>) {
        let version = self.configuration(name).await.unwrap().version;
        let annotations = BTreeMap::from([(key("generation"), generation.map(str::to_owned))]);
        let change = ConfigurationChange { annotations, bundles };
        self.store.change_configuration(name, &version, change).await.unwrap();
    }
}

fn key(name: &str) -> String {
    format!("berth.dev/{name}")
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of the outcome")]
fn conflicts(outcome: Result<(), StoreError>) {
    assert!(matches!(&outcome, Err(error) if error.is_conflict()), "{outcome:?}");
}

fn change(annotations: &[(&str, Option<&str>)], data: &[(&'static str, Option<&[u8]>)]) -> SecretChange {
    let annotations = annotations.iter().map(|(key, value)| (self::key(key), value.map(str::to_owned)));
    let data = data.iter().map(|(entry, value)| (*entry, value.map(|value| SecretSlice::from(value.to_vec()))));
    SecretChange { annotations: annotations.collect(), data: data.collect() }
}

fn bundle() -> Bundle {
    let authority = Authority::issue("conformance", std::time::SystemTime::now(), Duration::from_secs(3600));
    Bundle::read(authority.unwrap().certificate_pem().as_bytes())
}

/// How soon news must come.
const NEWS_LIMIT: Duration = Duration::from_secs(5);
/// Silence after which no more news of the last change will come.
const SILENCE: Duration = Duration::from_millis(500);

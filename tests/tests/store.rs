//! The certificate manager at a real API server: what it relies on, and what others do to the field that it owns.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use berth_cert_manager::{
    About, Bundle, Manager, News, Observer, Settings,
    plan::Status,
    settings::{ConfigurationName, Kind},
    store::{Cluster as Store, Store as _, conformance},
};
use berth_tests::{cluster::Cluster, wait::until};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::Secret,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The names of one test, so that tests can share a cluster.
async fn settings(cluster: &Cluster, test: &str) -> Settings {
    cluster.namespace(test, &[]).await.unwrap();
    let mut settings = Settings::berth(test);
    settings.configurations.iter_mut().for_each(|which| which.name = format!("{test}.berth.dev"));
    settings
}

/// A configuration as a manifest has it, for no namespace that exists.
fn manifest(name: &ConfigurationName, webhooks: &[&str]) -> Value {
    let webhook = |name: &&str| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": { "service": { "name": "berth-webhook", "namespace": "nowhere", "path": "/mutate" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "nowhere" } },
            "sideEffects": "None",
            "failurePolicy": "Ignore",
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": name.kind.name(),
        "metadata": { "name": name.name },
        "webhooks": webhooks.iter().map(webhook).collect::<Vec<_>>(),
    })
}

/// What administrators do, by their own client.
struct Administrator {
    client: Client,
    namespace: String,
}

impl Administrator {
    fn configurations(&self, kind: Kind) -> Api<DynamicObject> {
        let resource = match kind {
            Kind::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            Kind::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        };
        Api::all_with(self.client.clone(), &resource)
    }

    async fn patch(
        &self,
        name: &ConfigurationName,
        parameters: &PatchParams,
        patch: &Patch<Value>,
    ) -> kube::Result<DynamicObject> {
        self.configurations(name.kind).patch(&name.name, parameters, patch).await
    }

    /// A server-side apply of the whole manifest.
    async fn apply(&self, name: &ConfigurationName, manifest: &Value, force: bool) -> kube::Result<DynamicObject> {
        let parameters = PatchParams { force, ..PatchParams::apply("gitops") };
        self.patch(name, &parameters, &Patch::Apply(manifest.clone())).await
    }
}

impl conformance::World for Administrator {
    async fn delete_secret(&self, name: &str) {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        secrets.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn make_configuration(&self, name: &ConfigurationName, webhooks: &[&str]) {
        self.apply(name, &manifest(name, webhooks), false).await.unwrap();
    }

    async fn wipe(&self, name: &ConfigurationName) {
        let found = self.configurations(name.kind).get(&name.name).await.unwrap();
        let count = found.data["webhooks"].as_array().unwrap().len();
        let wiped = (0..count)
            .map(|at| json!({ "op": "add", "path": format!("/webhooks/{at}/clientConfig/caBundle"), "value": "" }));
        let patch = serde_json::from_value(wiped.collect()).unwrap();
        self.patch(name, &PatchParams::default(), &Patch::Json(patch)).await.unwrap();
    }

    async fn delete_configuration(&self, name: &ConfigurationName) {
        let _object = self.configurations(name.kind).delete(&name.name, &DeleteParams::default()).await.unwrap();
    }
}

/// Remembers the news.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<News>>>);

impl Observer for Ear {
    fn happened(&self, _: &About, news: &News) {
        self.0.lock().unwrap().push(news.clone());
    }

    fn looked(&self, _: &Status) {}
}

/// A manager that runs in a cluster with its configurations.
struct Scene {
    settings: Settings,
    administrator: Administrator,
    store: Store,
    ear: Ear,
    _manager: JoinSet<()>,
}

impl Scene {
    async fn new(test: &str) -> Self {
        let cluster = Cluster::shared().await.unwrap();
        let (settings, client) = (settings(cluster, test).await, cluster.client().await.unwrap());
        let administrator = Administrator { client: client.clone(), namespace: test.to_owned() };
        for name in &settings.configurations {
            administrator.apply(name, &manifest(name, WEBHOOKS), false).await.unwrap();
        }
        let (ear, mut tasks) = (Ear::default(), JoinSet::new());
        let manager = Manager::new(client.clone(), settings.clone(), ear.clone());
        tasks.spawn(async move { match manager.run().await {} });
        let store = Store::new(client, settings.clone());
        let scene = Self { settings, administrator, store, ear, _manager: tasks };
        scene.published().await;
        scene
    }

    /// Waits until every webhook of every configuration has the same CA, and returns it.
    async fn published(&self) -> Bundle {
        until("every webhook has its bundle", LIMIT, async || {
            let mut found: Option<Bundle> = None;
            for name in &self.settings.configurations {
                let configuration = self.store.configuration(name).await?.context("it is missing")?;
                for webhook in configuration.webhooks {
                    ensure!(!webhook.bundle.is_empty(), "{} has none", webhook.name);
                    let first = found.get_or_insert_with(|| webhook.bundle.clone());
                    ensure!(webhook.bundle.is(first), "they differ");
                }
            }
            found.context("there is no webhook")
        })
        .await
        .unwrap()
    }

    fn heard(&self) -> Vec<News> {
        std::mem::take(&mut *self.ear.0.lock().unwrap())
    }
}

#[tokio::test]
async fn the_api_server_conforms() {
    let cluster = Cluster::shared().await.unwrap();
    let (settings, client) = (settings(cluster, "conformance").await, cluster.client().await.unwrap());
    let world = Administrator { client: client.clone(), namespace: settings.namespace.clone() };
    conformance::check(&Store::new(client, settings.clone()), &settings, &world).await;
}

#[tokio::test]
async fn a_wiped_bundle_is_back_within_five_seconds_and_nothing_else_is_touched() {
    let scene = Scene::new("wiped").await;
    let name = &scene.settings.configurations[0];
    let bundle = scene.published().await;
    let api = Api::<MutatingWebhookConfiguration>::all(scene.administrator.client.clone());
    let edit = json!({ "webhooks": [{ "name": WEBHOOKS[1], "timeoutSeconds": 3, "failurePolicy": "Fail" }] });
    scene.administrator.patch(name, &PatchParams::default(), &Patch::Strategic(edit)).await.unwrap();
    let before = api.get(&name.name).await.unwrap();
    for _ in 0..5 {
        conformance::World::wipe(&scene.administrator, name).await;
        let wiped = Instant::now();
        assert!(scene.published().await.is(&bundle));
        assert!(wiped.elapsed() < Duration::from_secs(5), "{:?}", wiped.elapsed());
    }
    let after = api.get(&name.name).await.unwrap();
    assert_eq!(before.webhooks, after.webhooks);
    assert_eq!(
        (&before.metadata.annotations, &before.metadata.labels),
        (&after.metadata.annotations, &after.metadata.labels)
    );
    let restored = scene.heard().into_iter().filter(|news| matches!(news, News::BundleRestored { .. })).count();
    assert_eq!(restored, 5);
}

#[tokio::test]
async fn a_deleted_configuration_stays_deleted() {
    let scene = Scene::new("deleted").await;
    let [deleted, other] = &scene.settings.configurations[..] else { panic!("there are two") };
    conformance::World::delete_configuration(&scene.administrator, deleted).await;
    // That the manager has seen it shows at the other one.
    conformance::World::wipe(&scene.administrator, other).await;
    until("the other one is repaired", LIMIT, async || {
        let found = scene.store.configuration(other).await?.context("it is missing")?;
        ensure!(found.webhooks.iter().all(|webhook| !webhook.bundle.is_empty()));
        Ok(())
    })
    .await
    .unwrap();
    assert!(scene.store.configuration(deleted).await.unwrap().is_none());
    scene.administrator.apply(deleted, &manifest(deleted, WEBHOOKS), false).await.unwrap();
    scene.published().await; // whoever makes it again gets the bundle
}

#[tokio::test]
async fn whoever_applies_without_a_bundle_leaves_it_alone() {
    let scene = Scene::new("applied").await;
    let (bundle, cluster) = (scene.published().await, Cluster::shared().await.unwrap());
    for name in &scene.settings.configurations {
        let mut changed = manifest(name, WEBHOOKS);
        changed["webhooks"][0]["timeoutSeconds"] = json!(4);
        scene.administrator.apply(name, &changed, false).await.unwrap(); // no conflict: it owns other fields
        cluster.apply(&changed.to_string()).await.unwrap();
        changed["webhooks"][0]["timeoutSeconds"] = json!(5);
        cluster.apply(&changed.to_string()).await.unwrap();
    }
    let same = scene.published().await;
    assert!(same.is(&bundle));
    assert!(!scene.heard().iter().any(|news| matches!(news, News::BundleRestored { .. })), "it was never gone");
}

#[tokio::test]
async fn whoever_applies_an_empty_bundle_is_told_by_a_conflict_and_overruled_where_he_forces_it() {
    let scene = Scene::new("emptied").await;
    let (name, bundle) = (&scene.settings.configurations[1], scene.published().await);
    let mut empty = manifest(name, WEBHOOKS);
    for webhook in empty["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = json!("");
    }
    let refused = scene.administrator.apply(name, &empty, false).await.unwrap_err().to_string();
    assert!(refused.contains("berth-certificates"), "{refused}");
    for _ in 0..3 {
        scene.administrator.apply(name, &empty, true).await.unwrap();
        let wiped = Instant::now();
        assert!(scene.published().await.is(&bundle));
        assert!(wiped.elapsed() < Duration::from_secs(5), "{:?}", wiped.elapsed());
    }
    let restored = |news: &News| matches!(news, News::BundleRestored { other_writer: Some(who) } if who == "gitops");
    assert_eq!(scene.heard().iter().filter(|news| restored(news)).count(), 3);
}

#[tokio::test]
async fn a_webhook_can_be_taken_out_of_the_manifest() {
    let scene = Scene::new("removed").await;
    for name in &scene.settings.configurations {
        let fewer = manifest(name, &WEBHOOKS[..1]);
        scene.administrator.apply(name, &fewer, false).await.unwrap();
        let left = scene.store.configuration(name).await.unwrap().unwrap();
        assert_eq!(left.webhooks.len(), 1, "{left:?}");
    }
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let cluster = Cluster::shared().await.unwrap();
    let settings = settings(cluster, "forbidden").await;
    let client = cluster.client_for("system:serviceaccount:forbidden:berth-controller", &[]).await.unwrap();
    let (ear, mut tasks) = (Ear::default(), JoinSet::new());
    let manager = Manager::new(client, settings, ear.clone());
    tasks.spawn(async move { match manager.run().await {} });
    for wanted in [
        "cannot get secrets `berth-ca`",
        "cannot list secrets `berth-tls`",
        "cannot list mutatingwebhookconfigurations `",
    ] {
        until(wanted, LIMIT, async || {
            let heard: Vec<_> = ear.0.lock().unwrap().iter().map(ToString::to_string).collect();
            ensure!(heard.iter().any(|text| text.starts_with(wanted) && text.contains("ServiceAccount")), "{heard:#?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

const WEBHOOKS: &[&str] = &["z.berth.dev", "a.berth.dev"];
const LIMIT: Duration = Duration::from_secs(20);

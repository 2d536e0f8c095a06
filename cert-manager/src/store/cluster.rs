//! The API server.

use std::{collections::BTreeMap, convert::Infallible, fmt::Debug, pin::pin, time::Duration};

use futures::{StreamExt as _, future, stream::BoxStream};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1,
    },
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, PartialObjectMeta, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, utils::Backoff, watcher},
};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

use super::{Configuration, ConfigurationChange, Fault, Secret, SecretChange, Store, StoreError, Webhook};
use crate::{
    Bundle, Subject,
    settings::{ConfigurationName, Kind, Settings},
};

/// The objects of [`Settings`] in a cluster.
pub struct Cluster {
    client: Client,
    secrets: Api<v1::Secret>,
    settings: Settings,
}

impl Cluster {
    /// The objects that `settings` name, in the cluster of `client`.
    pub fn new(client: Client, settings: Settings) -> Self {
        let secrets = Api::namespaced(client.clone(), &settings.namespace);
        Self { client, secrets, settings }
    }

    fn parameters(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.settings.field_manager.clone()), ..PatchParams::default() }
    }

    fn configurations(&self, kind: Kind) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(kind))
    }

    /// One entry for each change of `subject`, and errors with the verb that failed.
    fn changes<K>(api: Api<PartialObjectMeta<K>>, subject: Subject) -> Changes
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", subject.name()));
        let config = config.timeout(WATCH_SECONDS);
        let failed = move |error: watcher::Error| {
            let (verb, fault) = broken(&error);
            StoreError { verb, subject: subject.clone(), fault }
        };
        // That a list begins is no news: it may be about to fail.
        let news = |event| future::ready((!matches!(event, Ok(watcher::Event::Init))).then_some(event));
        watcher(api, config).backoff(Pause).filter_map(news).map(move |event| event.map(drop).map_err(&failed)).boxed()
    }

    fn all_changes(&self) -> Vec<Changes> {
        let Settings { namespace, authority_secret, serving_secret, configurations, .. } = &self.settings;
        let secrets = [authority_secret, serving_secret].map(|name| {
            let api = Api::<PartialObjectMeta<v1::Secret>>::namespaced(self.client.clone(), namespace);
            Self::changes(api, Subject::Secret(name.clone()))
        });
        let configurations = configurations.iter().map(|which| {
            let (client, subject) = (self.client.clone(), Subject::Configuration(which.clone()));
            match which.kind {
                Kind::Mutating => Self::changes::<MutatingWebhookConfiguration>(Api::all(client), subject),
                Kind::Validating => Self::changes::<ValidatingWebhookConfiguration>(Api::all(client), subject),
            }
        });
        secrets.into_iter().chain(configurations).collect()
    }
}

impl Store for Cluster {
    async fn secret(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        let call = Call { verb: "get", subject: Subject::Secret(name.to_owned()) };
        Ok(call.within(self.secrets.get_opt(name)).await?.map(read_secret))
    }

    async fn create_secret(&self, name: &str, kind: &'static str, change: SecretChange) -> Result<(), StoreError> {
        let present = |(entry, value): (&'static str, Option<SecretSlice<u8>>)| {
            value.map(|value| (entry.to_owned(), ByteString(value.expose_secret().to_vec())))
        };
        let annotations = change.annotations.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let secret = v1::Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                annotations: Some(annotations.collect()),
                ..ObjectMeta::default()
            },
            type_: Some(kind.to_owned()),
            data: Some(change.data.into_iter().filter_map(present).collect()),
            ..v1::Secret::default()
        };
        let parameters =
            PostParams { field_manager: Some(self.settings.field_manager.clone()), ..PostParams::default() };
        let call = Call { verb: "create", subject: Subject::Secret(name.to_owned()) };
        call.within(self.secrets.create(&parameters, &secret)).await.map(drop)
    }

    async fn change_secret(&self, name: &str, version: &str, change: SecretChange) -> Result<(), StoreError> {
        let bytes = |value: Option<SecretSlice<u8>>| value.map(|value| ByteString(value.expose_secret().to_vec()));
        let data: BTreeMap<_, _> = change.data.into_iter().map(|(entry, value)| (entry, bytes(value))).collect();
        let metadata = json!({ "resourceVersion": version, "annotations": change.annotations });
        let patch = Patch::Merge(json!({ "metadata": metadata, "data": data }));
        let call = Call { verb: "patch", subject: Subject::Secret(name.to_owned()) };
        call.within(self.secrets.patch(name, &self.parameters(), &patch)).await.map(drop)
    }

    async fn configuration(&self, which: &ConfigurationName) -> Result<Option<Configuration>, StoreError> {
        let call = Call { verb: "get", subject: Subject::Configuration(which.clone()) };
        let found = call.within(self.configurations(which.kind).get_opt(&which.name)).await?;
        found.map(|object| read_configuration(object, &self.settings.field_manager, &call)).transpose()
    }

    /// A strategic merge names each webhook and its one field: their order, and whatever else is in them, stays. Not a
    /// server-side apply, which would make the configuration where it is missing.
    async fn change_configuration(
        &self,
        which: &ConfigurationName,
        version: &str,
        change: ConfigurationChange,
    ) -> Result<(), StoreError> {
        let webhook = |Webhook { name, bundle }: Webhook| json!({ "name": name, "clientConfig": { "caBundle": ByteString(bundle.to_pem().into_bytes()) } });
        let webhooks: Vec<Value> = change.bundles.into_iter().map(webhook).collect();
        let mut patch = json!({ "metadata": { "resourceVersion": version, "annotations": change.annotations } });
        if let (Some(patch), false) = (patch.as_object_mut(), webhooks.is_empty()) {
            patch.insert("webhooks".to_owned(), webhooks.into());
        }
        let api = self.configurations(which.kind);
        let call = Call { verb: "patch", subject: Subject::Configuration(which.clone()) };
        call.within(api.patch(&which.name, &self.parameters(), &Patch::Strategic(patch))).await.map(drop)
    }

    async fn follow(&self, news: &Notify, failed: impl Fn(StoreError, u32) + Send + Sync) -> Infallible {
        let failed = &failed;
        let all = self.all_changes().into_iter().map(|changes| async move {
            let (mut changes, mut failures) = (pin!(changes), 0);
            while let Some(change) = changes.next().await {
                match change {
                    Ok(()) => {
                        failures = 0;
                        news.notify_one();
                    }
                    Err(error) => {
                        failed(error, failures);
                        failures += 1;
                    }
                }
            }
        });
        future::join_all(all).await;
        future::pending().await // watches never end
    }
}

/// Between two attempts to take up a watch: always the same, because an API server that is back should be heard of soon,
/// and these watches are few.
struct Pause;

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(RETRY)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}

/// A stream of changes.
type Changes = BoxStream<'static, Result<(), StoreError>>;

/// One call, for the error that it may end in.
struct Call {
    verb: &'static str,
    subject: Subject,
}

impl Call {
    /// Bounds the wait for the answer.
    async fn within<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, StoreError> {
        match timeout(LIMIT, call).await {
            Ok(answer) => answer.map_err(|error| self.failed(Fault::of(&error, self.verb))),
            Err(_) => Err(self.failed(Fault::Silent(LIMIT))),
        }
    }

    fn failed(&self, fault: Fault) -> StoreError {
        StoreError { verb: self.verb, subject: self.subject.clone(), fault }
    }
}

/// Which verb a watch failed at, and how.
fn broken(error: &watcher::Error) -> (&'static str, Fault) {
    match error {
        watcher::Error::InitialListFailed(error) => ("list", Fault::of(error, "list")),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            ("watch", Fault::of(error, "watch"))
        }
        other => ("watch", Fault::Unavailable { said: other.to_string() }),
    }
}

fn read_secret(secret: v1::Secret) -> Secret {
    let data = secret.data.unwrap_or_default();
    let ObjectMeta { uid, resource_version, annotations, .. } = secret.metadata;
    Secret {
        uid: uid.unwrap_or_default(),
        version: resource_version.unwrap_or_default(),
        annotations: annotations.unwrap_or_default(),
        data: data.into_iter().map(|(entry, ByteString(bytes))| (entry, SecretSlice::from(bytes))).collect(),
    }
}

/// The fields of a configuration that are read.
#[derive(Deserialize)]
struct Hooks {
    #[serde(default)]
    webhooks: Vec<Hook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    name: String,
    client_config: ClientConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<ByteString>,
}

fn read_configuration(object: DynamicObject, own: &str, call: &Call) -> Result<Configuration, StoreError> {
    let other_writer = other_writer(&object, own);
    let DynamicObject { metadata, data, .. } = object;
    let unreadable = |error: serde_json::Error| call.failed(Fault::Unavailable { said: error.to_string() });
    let hooks: Hooks = serde_json::from_value(data).map_err(unreadable)?;
    let webhook = |hook: Hook| {
        let ByteString(pem) = hook.client_config.ca_bundle.unwrap_or_default();
        Webhook { name: hook.name, bundle: Bundle::read(&pem) }
    };
    Ok(Configuration {
        uid: metadata.uid.unwrap_or_default(),
        version: metadata.resource_version.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
        webhooks: hooks.webhooks.into_iter().map(webhook).collect(),
        other_writer,
    })
}

/// Of all field managers that wrote after `own`, the last one. Whoever only removes fields is not among them.
fn other_writer(object: &DynamicObject, own: &str) -> Option<String> {
    let time = |entry: &ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
    let (ours, others): (Vec<_>, Vec<_>) =
        object.managed_fields().iter().partition(|entry| entry.manager.as_deref() == Some(own));
    let last = ours.into_iter().map(time).max().flatten();
    let others = others.into_iter().filter(|entry| time(entry) >= last);
    others.max_by_key(|entry| time(entry)).and_then(|entry| entry.manager.clone())
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        Kind::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
    }
}

/// How long one watch waits after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the API server lets a watch run, seconds; a connection that died is noticed a little later.
const WATCH_SECONDS: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_named_who_wrote_before() {
        let entry = |manager: &str, second: u32| json!({ "manager": manager, "operation": "Update", "time": format!("2026-11-21T00:00:{second:02}Z") });
        for (entries, who) in [
            (vec![entry("helm", 1), entry("berth", 2)], None),
            (vec![entry("helm", 1), entry("berth", 2), entry("gitops", 3)], Some("gitops")),
            (vec![entry("gitops", 2), entry("berth", 2)], Some("gitops")),
            (vec![entry("helm", 1), entry("gitops", 2)], Some("gitops")),
            (vec![], None),
        ] {
            let object = json!({ "metadata": { "managedFields": entries } });
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            assert_eq!(other_writer(&object, "berth").as_deref(), who, "{object:?}");
        }
    }
}

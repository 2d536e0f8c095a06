//! The API server of tests: versions and conflicts as a real one has them, and whatever an administrator may do.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
};

use secrecy::SecretSlice;
use tokio::sync::{Notify, watch};

use super::{Configuration, ConfigurationChange, Fault, Secret, SecretChange, Store, StoreError, Webhook};
use crate::{Subject, settings::ConfigurationName};

/// Objects in memory.
#[derive(Default)]
pub struct Fake {
    objects: Mutex<Objects>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Objects {
    /// Counts every write, as etcd does.
    revision: u64,
    secrets: BTreeMap<String, Secret>,
    configurations: BTreeMap<ConfigurationName, Configuration>,
}

impl Fake {
    /// How many writes were done, those of administrators included.
    pub fn revision(&self) -> u64 {
        self.objects().revision
    }

    /// Makes or replaces a Secret.
    pub fn put_secret(&self, name: &str, annotations: &[(&str, &str)], data: &[(&str, &[u8])]) {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let data = data.iter().map(|(entry, value)| ((*entry).to_owned(), SecretSlice::from(value.to_vec()))).collect();
        self.edit(|objects, version| {
            let uid = objects.secrets.get(name).map_or_else(|| uid(&version), |secret| secret.uid.clone());
            objects.secrets.insert(name.to_owned(), Secret { uid, version, annotations, data });
        });
    }

    /// Changes a Secret that is there.
    pub fn edit_secret(&self, name: &str, edit: impl FnOnce(&mut Secret)) {
        self.edit(|objects, version| {
            if let Some(secret) = objects.secrets.get_mut(name) {
                edit(secret);
                secret.version = version;
            }
        });
    }

    /// Deletes a Secret.
    pub fn delete_secret(&self, name: &str) {
        self.edit(|objects, _| drop(objects.secrets.remove(name)));
    }

    /// Makes a configuration, or changes one in any way.
    pub fn edit_configuration(&self, name: &ConfigurationName, writer: &str, edit: impl FnOnce(&mut Configuration)) {
        self.edit(|objects, version| {
            let configuration = objects.configurations.entry(name.clone()).or_insert_with(|| Configuration {
                uid: uid(&version),
                version: String::new(),
                annotations: BTreeMap::new(),
                webhooks: Vec::new(),
                other_writer: None,
            });
            edit(configuration);
            configuration.other_writer = Some(writer.to_owned());
            configuration.version = version;
        });
    }

    /// Deletes a configuration.
    pub fn delete_configuration(&self, name: &ConfigurationName) {
        self.edit(|objects, _| drop(objects.configurations.remove(name)));
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write that cannot fail, with the version that it makes.
    fn edit(&self, change: impl FnOnce(&mut Objects, String)) {
        let _infallible = self.write(|objects, version| {
            change(objects, version);
            Ok(())
        });
    }

    /// One write, with the version that it makes; none where it fails.
    fn write(&self, change: impl FnOnce(&mut Objects, String) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let revision = {
            let mut objects = self.objects();
            let version = (objects.revision + 1).to_string();
            change(&mut objects, version)?;
            objects.revision += 1;
            objects.revision
        };
        self.changed.send_replace(revision);
        Ok(())
    }
}

impl Store for Fake {
    async fn secret(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        Ok(self.objects().secrets.get(name).cloned())
    }

    async fn create_secret(&self, name: &str, _kind: &'static str, change: SecretChange) -> Result<(), StoreError> {
        self.write(|objects, version| {
            if objects.secrets.contains_key(name) {
                return Err(conflict("create", Subject::Secret(name.to_owned())));
            }
            let uid = uid(&version);
            let mut secret = Secret { uid, version, annotations: BTreeMap::new(), data: BTreeMap::new() };
            apply(&mut secret, change);
            objects.secrets.insert(name.to_owned(), secret);
            Ok(())
        })
    }

    async fn change_secret(&self, name: &str, seen: &str, change: SecretChange) -> Result<(), StoreError> {
        self.write(|objects, version| {
            let secret = objects.secrets.get_mut(name).filter(|secret| secret.version == seen);
            let secret = secret.ok_or_else(|| conflict("patch", Subject::Secret(name.to_owned())))?;
            apply(secret, change);
            secret.version = version;
            Ok(())
        })
    }

    async fn configuration(&self, name: &ConfigurationName) -> Result<Option<Configuration>, StoreError> {
        Ok(self.objects().configurations.get(name).cloned())
    }

    async fn change_configuration(
        &self,
        name: &ConfigurationName,
        seen: &str,
        change: ConfigurationChange,
    ) -> Result<(), StoreError> {
        self.write(|objects, version| {
            let found = objects.configurations.get_mut(name).filter(|found| found.version == seen);
            let found = found.ok_or_else(|| conflict("patch", Subject::Configuration(name.clone())))?;
            merge(&mut found.annotations, change.annotations);
            for Webhook { name, bundle } in change.bundles {
                let named = found.webhooks.iter_mut().filter(|webhook| webhook.name == name);
                named.for_each(|webhook| webhook.bundle = bundle.clone());
            }
            found.version = version;
            Ok(())
        })
    }

    async fn follow(&self, news: &Notify, _failed: impl Fn(StoreError, u32) + Send + Sync) -> Infallible {
        let mut changed = self.changed.subscribe();
        loop {
            news.notify_one();
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn apply(secret: &mut Secret, change: SecretChange) {
    merge(&mut secret.annotations, change.annotations);
    merge(&mut secret.data, change.data.into_iter().map(|(entry, value)| (entry.to_owned(), value)));
}

/// Sets what has a value, and removes what has none.
fn merge<T>(into: &mut BTreeMap<String, T>, changes: impl IntoIterator<Item = (String, Option<T>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
}

fn conflict(verb: &'static str, subject: Subject) -> StoreError {
    StoreError { verb, subject, fault: Fault::Conflict }
}

fn uid(version: &str) -> String {
    format!("uid-{version}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, Settings, store::conformance};

    impl conformance::World for Fake {
        async fn delete_secret(&self, name: &str) {
            Fake::delete_secret(self, name);
        }

        async fn make_configuration(&self, name: &ConfigurationName, webhooks: &[&str]) {
            self.edit_configuration(name, "conformance", |configuration| {
                let webhook = |name: &&str| Webhook { name: (*name).to_owned(), bundle: Bundle::default() };
                configuration.webhooks = webhooks.iter().map(webhook).collect();
            });
        }

        async fn wipe(&self, name: &ConfigurationName) {
            self.edit_configuration(name, "conformance", |configuration| {
                configuration.webhooks.iter_mut().for_each(|webhook| webhook.bundle = Bundle::default());
            });
        }

        async fn delete_configuration(&self, name: &ConfigurationName) {
            Fake::delete_configuration(self, name);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        let fake = Fake::default();
        conformance::check(&fake, &Settings::berth("berth-system"), &fake).await;
    }
}

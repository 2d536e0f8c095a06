//! The annotation `berth.dev/skip` of Namespaces, watched.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::watcher::{Config, Event},
};

use crate::{
    follow::{attentive, follow},
    telemetry::Metrics,
};

/// The Namespaces that have the annotation `berth.dev/skip`.
#[derive(Debug, Default)]
pub struct Namespaces {
    skips: RwLock<HashMap<String, Arc<str>>>,
}

impl Namespaces {
    /// Namespaces with the annotations given as (namespace, annotation), which do not change: for tests.
    pub fn fixed<'a>(skips: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let skips = skips.into_iter().map(|(name, skip)| (name.to_owned(), skip.into())).collect();
        Self { skips: RwLock::new(skips) }
    }

    /// The text of the annotation of `namespace`, if it has one. Not judged here: what it may say is the cluster's choice.
    pub fn skip(&self, namespace: &str) -> Option<Arc<str>> {
        self.skips.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// Follows the Namespaces at the API server, for ever.
    pub async fn follow(self: Arc<Self>, client: Client, metrics: Arc<Metrics>) {
        let api = Api::<PartialObjectMeta<Namespace>>::all(attentive(client, || ()));
        let mut listed = HashMap::new();
        follow("namespaces", api, Config::default(), &metrics, |event| match event {
            Event::Init => listed.clear(),
            Event::InitApply(namespace) => put(&mut listed, namespace),
            Event::InitDone => self.write(|skips| *skips = std::mem::take(&mut listed)),
            Event::Apply(namespace) => self.write(|skips| put(skips, namespace)),
            Event::Delete(namespace) => {
                let name = namespace.metadata.name.unwrap_or_default();
                self.write(|skips| skips.remove(&name));
            }
        })
        .await;
    }

    fn write<T>(&self, change: impl FnOnce(&mut HashMap<String, Arc<str>>) -> T) -> T {
        change(&mut self.skips.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn put(skips: &mut HashMap<String, Arc<str>>, namespace: PartialObjectMeta<Namespace>) {
    let name = namespace.metadata.name.unwrap_or_default();
    match namespace.metadata.annotations.and_then(|mut annotations| annotations.remove(SKIP)) {
        Some(skip) => skips.insert(name, skip.into()),
        None => skips.remove(&name),
    };
}

/// Verbs that are switched off for a whole Namespace, as `pin,place`.
const SKIP: &str = "berth.dev/skip";

#[cfg(test)]
mod tests;

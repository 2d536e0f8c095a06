//! The cluster's local registry, as the `ConfigMap` of KEP-1755 in `kube-public` says, watched.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use futures::future::join;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::watcher::{Config, Event},
};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    config::{Hosting, Registry},
    follow::{attentive, follow},
    registry::{may_be_asked, probe},
    telemetry::Metrics,
};

/// What the cluster says about its local registry.
#[derive(Debug, Default)]
pub struct LocalRegistry {
    /// None before the first look.
    registries: watch::Sender<Option<Vec<Registry>>>,
}

impl LocalRegistry {
    /// An entry of `registries` for each of its names; none where there is no local registry, or nobody has looked yet.
    pub fn registries(&self) -> Vec<Registry> {
        self.registries.borrow().clone().unwrap_or_default()
    }

    /// Whether anybody has looked.
    pub fn looked(&self) -> bool {
        self.registries.borrow().is_some()
    }

    /// Tells when it is another one.
    pub fn changes(&self) -> watch::Receiver<Option<Vec<Registry>>> {
        self.registries.subscribe()
    }

    /// Follows the `ConfigMap` at the API server, for ever.
    pub async fn follow(self: Arc<Self>, client: Client, metrics: Arc<Metrics>) {
        let api = Api::<ConfigMap>::namespaced(attentive(client, || ()), NAMESPACE);
        let config = Config::default().fields(&format!("metadata.name={NAME}"));
        let said = watch::Sender::new(None);
        let mut heard = said.subscribe();
        let mut listed = None;
        let watch = follow("configmaps", api, config, &metrics, |event| match event {
            Event::Init => listed = None,
            Event::InitApply(map) => listed = Some(map),
            Event::InitDone => hear(&said, listed.take().as_ref()),
            Event::Apply(map) => hear(&said, Some(&map)),
            Event::Delete(_) => hear(&said, None),
        });
        let settle = async {
            while heard.changed().await.is_ok() {
                let hosting = heard.borrow_and_update().clone().unwrap_or_default();
                self.settle(hosting).await;
            }
        };
        join(watch, settle).await;
    }

    /// Reads it once, for a command that ends. Outside the cluster the registry is where people push to it, and that may
    /// be their own machine.
    ///
    /// # Errors
    /// Where the API server does not say, or what it says is broken.
    pub async fn read(client: Client, outside: bool) -> anyhow::Result<Vec<Registry>> {
        let map = Api::<ConfigMap>::namespaced(client, NAMESPACE).get_opt(NAME).await?;
        let hosting = map.as_ref().and_then(text).map(Hosting::parse).transpose().map_err(|reason| anyhow!(reason))?;
        let hosting = hosting.unwrap_or_default();
        Ok(if outside { hosting.from_outside() } else { located(hosting).await.registries() })
    }

    async fn settle(&self, hosting: Hosting) {
        let found = Some(located(hosting).await.registries());
        self.registries.send_if_modified(|known| {
            let differs = *known != found;
            *known = found;
            differs
        });
    }
}

/// Passes on what `map` says, if it is something new. A broken one changes nothing, but that somebody has looked.
fn hear(said: &watch::Sender<Option<Hosting>>, map: Option<&ConfigMap>) {
    let hosting = map.and_then(text).map(Hosting::parse).transpose();
    if let Err(reason) = &hosting {
        error!(reason, "{PLACE} is broken; what it said before stays in force");
    }
    said.send_if_modified(|known| {
        let new = hosting.ok().map(Option::unwrap_or_default).or_else(|| known.clone()).unwrap_or_default();
        let differs = known.as_ref() != Some(&new);
        *known = Some(new);
        differs
    });
}

/// The one key that Berth reads.
fn text(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(KEY).map(String::as_str)
}

/// Where it says no address inside the cluster, the usual one is tried, once.
async fn located(hosting: Hosting) -> Hosting {
    let hosts = hosting.hosts.join(", ");
    let usual = Hosting { endpoint: hosting.endpoint.clone().or_else(|| Some(KIND.to_owned())), ..hosting.clone() };
    let Some(entry) = usual.registries().into_iter().next() else { return hosting };
    let tried = match &hosting.endpoint {
        // A name is judged by what it resolves to, whenever it is dialled.
        Some(_) => may_be_asked(&entry),
        None => probe(&entry, PROBE_LIMIT).await,
    };
    match tried {
        Ok(()) => {
            info!(hosts, endpoint = entry.endpoint, "the local registry of this cluster is trusted");
            usual
        }
        Err(reason) if hosting.endpoint.is_some() => {
            warn!(hosts, endpoint = entry.endpoint, reason, "the local registry of this cluster will not be asked");
            hosting
        }
        Err(reason) => {
            warn!(
                hosts,
                tried = KIND,
                reason,
                "{PLACE} does not say where Pods reach the local registry; add to its {KEY} a line like \
                 `hostFromClusterNetwork: \"registry.example:5000\"`"
            );
            hosting
        }
    }
}

/// Where clusters describe it. Source: KEP-1755.
const NAMESPACE: &str = "kube-public";
const NAME: &str = "local-registry-hosting";
const KEY: &str = "localRegistryHosting.v1";
/// For people.
const PLACE: &str = "the ConfigMap kube-public/local-registry-hosting";
/// Where kind's documented script puts the registry; its `ConfigMap` does not say so.
/// Source: <https://kind.sigs.k8s.io/docs/user/local-registry/>.
const KIND: &str = "http://kind-registry:5000";
/// Longest wait for it: reviews are not held up, but they do not know the registry before.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

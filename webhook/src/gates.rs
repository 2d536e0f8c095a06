//! The gate controller: opens `berth.dev/image-on-node` as soon as a node has what the Pod waits for.
//!
//! Two of them at once are harmless: every patch is conditional on the Pod that was seen, and the first one wins.

mod lift;

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures::{StreamExt as _, future, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    runtime::watcher::{Config as WatchConfig, Event},
};
use serde::Serialize;
use tokio::{
    sync::Notify,
    time::{self, MissedTickBehavior, timeout},
};
use tracing::{info, warn};

use self::lift::Gated;
use crate::{
    admission::{gated::release, place::GATED_LABEL},
    config::Config,
    follow::{attentive, follow},
    nodes::Nodes,
    telemetry::Metrics,
};

/// The gates of all Pods, and what opens them.
pub struct Gates {
    client: Client,
    nodes: Arc<Nodes>,
    config: Arc<ArcSwap<Config>>,
    own_namespace: String,
    /// By uid.
    waiting: Mutex<HashMap<String, Gated>>,
    news: Notify,
}

impl Gates {
    /// Gates under `config` in the cluster of `client`; `nodes` are followed by the caller.
    pub fn new(client: Client, nodes: Arc<Nodes>, config: Arc<ArcSwap<Config>>, own_namespace: String) -> Self {
        Self { client, nodes, config, own_namespace, waiting: Mutex::default(), news: Notify::new() }
    }

    /// Opens gates, for ever.
    pub async fn run(&self, metrics: &Metrics) {
        future::join3(self.watch(metrics), self.open(), self.find_unlabelled()).await;
    }

    /// Learns which Pods wait.
    async fn watch(&self, metrics: &Metrics) {
        let api = Api::<DynamicObject>::all_with(attentive(self.client.clone(), || ()), &pods());
        let config = WatchConfig::default().labels(GATED_LABEL);
        let mut listed = HashMap::new();
        follow("pods", api, config, metrics, |event| {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(object) => listed.extend(Gated::of(&object).map(|pod| (pod.uid.clone(), pod))),
                Event::InitDone => *waiting = std::mem::take(&mut listed),
                Event::Apply(object) => {
                    let uid = object.metadata.uid.as_deref().unwrap_or_default();
                    waiting.remove(uid);
                    waiting.extend(Gated::of(&object).map(|pod| (pod.uid.clone(), pod)));
                }
                Event::Delete(object) => {
                    waiting.remove(object.metadata.uid.as_deref().unwrap_or_default());
                }
            }
            self.news.notify_one();
        })
        .await;
    }

    /// Looks again whenever a node or a Pod has changed.
    async fn open(&self) {
        let mut changes = self.nodes.changes();
        loop {
            tokio::select! {
                _changed = changes.changed() => (),
                () = self.news.notified() => (),
                () = time::sleep(RETRY) => (),
            }
            let due = self.due();
            stream::iter(due).for_each_concurrent(AT_ONCE, |(pod, patch)| self.lift(pod, patch)).await;
            time::sleep(PAUSE).await;
        }
    }

    /// The Pods that can go, each with its patch.
    fn due(&self) -> Vec<(Gated, json_patch::Patch)> {
        let (now, config) = (time::Instant::now().into_std(), self.config.load());
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.nodes.read(|index| {
            let Some(index) = index else { return Vec::new() };
            let due = waiting.values().filter_map(|gated| {
                let pod = gated.pod().ok()?;
                let placement = release(&pod, &gated.namespace, &config, &self.own_namespace, index, now)?;
                Some((gated.clone(), gated.lift(&pod, &placement)))
            });
            due.collect()
        })
    }

    /// Opens one gate. Where the Pod has changed meanwhile, its news leads here again.
    async fn lift(&self, pod: Gated, patch: json_patch::Patch) {
        let Gated { namespace, name, uid, .. } = &pod;
        match self.patch(&pod, &Patch::Json::<()>(patch.clone())).await {
            Ok(()) => info!(namespace, pod = name, %patch, "opened the gate: a node has what the Pod waited for"),
            Err(Failure::Api(kube::Error::Api(status))) if status.is_not_found() => (),
            Err(Failure::Api(kube::Error::Api(status))) if matches!(status.code, CONFLICT | UNPROCESSABLE) => {
                info!(
                    namespace,
                    pod = name,
                    answer = status.message,
                    "the Pod has changed: its gate is looked at again"
                );
                return;
            }
            Err(error) => {
                warn!(namespace, pod = name, %error, "the gate could not be opened, and will be tried again");
                return;
            }
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Gives Pods back the label by which they are watched, where it was lost, every five minutes.
    async fn find_unlabelled(&self) {
        let mut turns = time::interval(FIND_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if let Err(error) = self.label_all().await {
                warn!(%error, "Pods whose gate has lost its label could not be looked for");
            }
        }
    }

    async fn label_all(&self) -> Result<(), Failure> {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &pods());
        let mut page = ListParams::default().fields(NOT_YET_BOUND).limit(PAGE);
        loop {
            let list = within(api.list(&page)).await?;
            for pod in list.items.iter().filter_map(Gated::of).filter(|pod| !pod.labelled) {
                info!(namespace = pod.namespace, pod = pod.name, "the Pod is gated and had lost its label");
                self.patch(&pod, &Patch::Merge(pod.label())).await?;
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    async fn patch(&self, pod: &Gated, patch: &Patch<impl Serialize + Debug>) -> Result<(), Failure> {
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &pod.namespace, &pods());
        within(api.patch(&pod.name, &PatchParams::default(), patch)).await.map(drop)
    }
}

/// Bounds the wait for one answer.
async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(CALL_LIMIT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Silent),
    }
}

/// Why a call of the API server failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    Silent,
}

/// Pods whole, as the API server has them: fields that are newer than this program count as well.
fn pods() -> ApiResource {
    ApiResource::erase::<Pod>(&())
}

/// Gated Pods are not bound; this spares the sight of all that run.
const NOT_YET_BOUND: &str = "spec.nodeName=,status.phase=Pending";
/// Pods a page of a list.
const PAGE: u32 = 100;
/// Gates that are opened at the same time.
const AT_ONCE: usize = 16;
/// Time for several changes to come together.
const PAUSE: Duration = Duration::from_millis(100);
/// After this long it is looked again without any news, for patches that failed.
const RETRY: Duration = Duration::from_secs(5);
/// Time between two searches for gates whose label was lost.
const FIND_EVERY: Duration = Duration::from_secs(300);
/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The resource version is another one.
const CONFLICT: u16 = 409;
/// A `test` of the patch failed, or its result is not a valid change.
const UNPROCESSABLE: u16 = 422;

#[cfg(test)]
mod tests;

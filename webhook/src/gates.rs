//! The gate controller: opens `berth.dev/image-on-node` as soon as a node has what the Pod waits for.
//!
//! Two of them at once are harmless: every patch is conditional on the Pod that was seen, and the first one wins.

pub mod all;
mod lift;
mod waiting;

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures::{StreamExt as _, future, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    runtime::watcher::{Config as WatchConfig, Event},
};
use serde::Serialize;
use tokio::{
    sync::Notify,
    time::{self, Instant, MissedTickBehavior},
};
use tracing::{info, warn};

use self::{
    lift::Gated,
    waiting::{Lift, Waiting},
};
use crate::{
    admission::{gated::Scene, place::GATED_LABEL},
    call::{Failure, within},
    config::Config,
    events::{Reason, Recorder},
    follow::{attentive, follow},
    nodes::Nodes,
    telemetry::{Metrics, outcome},
};

/// What the controller works with.
#[derive(Clone)]
pub struct Means {
    /// The cluster.
    pub client: Client,
    /// Followed by whoever made this.
    pub nodes: Arc<Nodes>,
    /// What the administrator wants.
    pub config: Arc<ArcSwap<Config>>,
    /// Berth's own namespace.
    pub own_namespace: String,
    /// Written by whoever made this.
    pub events: Arc<Recorder>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The gates of all Pods, and what opens them.
pub struct Gates {
    means: Means,
    /// By uid.
    waiting: Mutex<HashMap<String, Waiting>>,
    news: Notify,
    /// When the API server last told about gated Pods; none before the first list.
    heard: Arc<Mutex<Option<Instant>>>,
}

impl Gates {
    /// No gate is known yet.
    pub fn new(means: Means) -> Self {
        Self { means, waiting: Mutex::default(), news: Notify::new(), heard: Arc::default() }
    }

    /// Opens gates, for ever.
    pub async fn run(&self) {
        future::join3(self.watch(), self.open(), self.find_unlabelled()).await;
    }

    /// Whether gates can be opened: nodes and gated Pods are known, and the API server was heard of lately.
    pub fn able(&self) -> bool {
        let now = Instant::now();
        let limit = self.means.config.load().place.max_stale;
        let recent = |heard: Instant| now.saturating_duration_since(heard) < limit;
        let pods = self.heard.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(recent);
        pods && self.means.nodes.read(|index| index.is_some_and(|index| recent(index.heard().into())))
    }

    /// Learns which Pods wait.
    async fn watch(&self) {
        let told = Arc::clone(&self.heard);
        let hear = move || {
            let mut heard = told.lock().unwrap_or_else(PoisonError::into_inner);
            *heard = heard.map(|_| Instant::now());
        };
        let api = Api::<DynamicObject>::all_with(attentive(self.means.client.clone(), hear), &pods());
        let config = WatchConfig::default().labels(GATED_LABEL);
        let mut listed = HashMap::new();
        follow("pods", api, config, &self.means.metrics, |event| {
            let mut waiting = self.waiting();
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(object) => listed.extend(Gated::of(&object).map(|pod| (pod.who.uid.clone(), pod))),
                Event::InitDone => {
                    let mut before = std::mem::take(&mut *waiting);
                    let listed = std::mem::take(&mut listed).into_iter();
                    *waiting =
                        listed.map(|(uid, pod)| (uid.clone(), Waiting::seen(pod, before.remove(&uid)))).collect();
                    *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                Event::Apply(object) => {
                    let before = waiting.remove(object.metadata.uid.as_deref().unwrap_or_default());
                    waiting.extend(Gated::of(&object).map(|pod| (pod.who.uid.clone(), Waiting::seen(pod, before))));
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
        let mut changes = self.means.nodes.changes();
        loop {
            tokio::select! {
                _changed = changes.changed() => (),
                () = self.news.notified() => (),
                () = time::sleep(LOOK_EVERY) => (),
            }
            let due = self.look();
            stream::iter(due).for_each_concurrent(AT_ONCE, |lift| self.lift(lift)).await;
            time::sleep(PAUSE).await;
        }
    }

    /// The Pods that can go, each with its patch; says of the others what they wait for.
    fn look(&self) -> Vec<Lift> {
        let (now, config) = (Instant::now().into_std(), self.means.config.load());
        let mut waiting = self.waiting();
        let oldest = waiting.values().filter_map(|waiting| waiting.pod.created).min();
        let age =
            oldest.map(|created| Duration::try_from(Timestamp::now().duration_since(created)).unwrap_or_default());
        self.means.metrics.controller.gated(waiting.len(), age.unwrap_or_default());
        self.means.nodes.read(|index| {
            let Some(index) = index else { return Vec::new() };
            let scene = Scene { config: &config, own_namespace: &self.means.own_namespace, index, now };
            let due = waiting.values_mut().filter_map(|waiting| {
                let lift = waiting.look(scene);
                if let Some(news) = waiting.news(now) {
                    self.means.events.say(&waiting.pod.who, Reason::WaitingForImage, &news);
                }
                lift
            });
            due.collect()
        })
    }

    /// Opens one gate. Where the Pod has changed meanwhile, its news leads here again.
    async fn lift(&self, lift: Lift) {
        let Lift { pod, patch, reason } = lift;
        let (namespace, name) = (&pod.who.namespace, &pod.who.name);
        if !self.waiting().get(&pod.who.uid).is_some_and(|waiting| waiting.pod.is_same(&pod)) {
            return; // another controller was first, or the Pod is another one since it was judged
        }
        let outcome = match self.patch(&pod, &Patch::Json::<()>(patch.clone())).await {
            Ok(()) => {
                info!(namespace, pod = name, %patch, "opened the gate");
                self.means.events.say(&pod.who, Reason::GateLifted, &reason);
                outcome::Gate::Opened
            }
            Err(failure) if failure.is_gone() => outcome::Gate::Changed,
            Err(failure) => {
                let changed = failure.is_changed();
                if changed {
                    info!(namespace, pod = name, answer = %failure, "the Pod has changed: its gate is looked at again");
                } else {
                    warn!(namespace, pod = name, %failure, "the gate could not be opened, and will be tried again");
                }
                let mut waiting = self.waiting();
                if let Some(waiting) = waiting.get_mut(&pod.who.uid) {
                    waiting.refused(&pod, Instant::now().into_std());
                }
                self.means.metrics.controller.gate(if changed {
                    outcome::Gate::Changed
                } else {
                    outcome::Gate::Failed
                });
                return;
            }
        };
        self.means.metrics.controller.gate(outcome);
        self.waiting().remove(&pod.who.uid);
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
        let lost = |object: &DynamicObject| Gated::of(object).filter(|pod| !pod.labelled);
        for pod in list(&self.means.client, ListParams::default().fields(NOT_YET_BOUND), lost).await? {
            let (namespace, name) = (&pod.who.namespace, &pod.who.name);
            match self.patch(&pod, &Patch::Merge(pod.label())).await {
                Ok(()) => info!(namespace, pod = name, "the Pod is gated and had lost its label"),
                // The next one is not to blame, and in five minutes this one is found again.
                Err(failure) => warn!(namespace, pod = name, %failure, "a gated Pod did not get its label back"),
            }
        }
        Ok(())
    }

    async fn patch(&self, pod: &Gated, patch: &Patch<impl Serialize + Debug>) -> Result<(), Failure> {
        let api = Api::<DynamicObject>::namespaced_with(self.means.client.clone(), &pod.who.namespace, &pods());
        within(api.patch(&pod.who.name, &PatchParams::default(), patch)).await.map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `take` makes of all Pods, a page at a time.
async fn list<T>(
    client: &Client,
    which: ListParams,
    take: impl Fn(&DynamicObject) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let api = Api::<DynamicObject>::all_with(client.clone(), &pods());
    let (mut page, mut taken) = (which.limit(PAGE), Vec::new());
    loop {
        let list = within(api.list(&page)).await?;
        taken.extend(list.items.iter().filter_map(&take));
        match list.metadata.continue_.filter(|rest| !rest.is_empty()) {
            Some(rest) => page = page.continue_token(&rest),
            None => return Ok(taken),
        }
    }
}

/// Pods whole, as the API server has them: fields that are newer than this program count as well.
pub(crate) fn pods() -> ApiResource {
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
/// After this long it is looked again without any news: for patches that failed, and for doubts that have lasted.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Time between two searches for gates whose label was lost.
const FIND_EVERY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;

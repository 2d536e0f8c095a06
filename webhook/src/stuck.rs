//! Pods that are stuck: they cannot be scheduled where Berth placed them, and by now their images are elsewhere.
//!
//! A requirement was right when it was written. Where a late fact makes it wrong, Berth says so, and with
//! `place.stuck: delete` has the Pod made again by its owner.

mod placed;
mod rounds;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future;
use jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Preconditions},
    runtime::watcher::{Config as WatchConfig, Event},
};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tracing::{info, warn};

use self::{
    placed::{Placed, Remedy},
    rounds::Rounds,
};
use crate::{
    admission::{gated::Scene, place::PLACED_LABEL},
    call::within,
    config::{Config, OnMissing},
    events::Reason,
    follow::{attentive, follow},
    gates::{Means, pods},
    telemetry::outcome,
};

/// The Pods that Berth placed and nobody has bound yet.
pub struct Stuck {
    means: Means,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    /// By uid.
    placed: HashMap<String, Placed>,
    rounds: Rounds,
}

impl Stuck {
    /// No Pod is known yet.
    pub fn new(means: Means) -> Self {
        Self { means, state: Mutex::default(), news: Notify::new() }
    }

    /// Looks after them, for ever.
    pub async fn run(&self) {
        future::join(self.watch(), self.help()).await;
    }

    async fn watch(&self) {
        let api = Api::<DynamicObject>::all_with(attentive(self.means.client.clone(), || ()), &pods());
        let config = WatchConfig::default().labels(PLACED_LABEL).fields(UNBOUND);
        let mut listed = HashMap::new();
        follow("placed pods", api, config, &self.means.metrics, |event| {
            let mut state = self.state();
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(object) => listed.extend(Placed::of(&object).map(|pod| (pod.who.uid.clone(), pod))),
                Event::InitDone => {
                    let mut before = std::mem::take(&mut state.placed);
                    let listed = std::mem::take(&mut listed).into_iter();
                    state.placed = listed.map(|(uid, pod)| (uid.clone(), pod.after(before.remove(&uid)))).collect();
                }
                Event::Apply(object) => {
                    let before = state.placed.remove(object.metadata.uid.as_deref().unwrap_or_default());
                    state.placed.extend(Placed::of(&object).map(|pod| (pod.who.uid.clone(), pod.after(before))));
                }
                Event::Delete(object) => state.gone(&object),
            }
            self.news.notify_one();
        })
        .await;
    }

    /// Looks again whenever a node or a Pod has changed, and as time passes.
    async fn help(&self) {
        let mut changes = self.means.nodes.changes();
        loop {
            tokio::select! {
                _changed = changes.changed() => (),
                () = self.news.notified() => (),
                () = time::sleep(LOOK_EVERY) => (),
            }
            let doomed = self.look();
            future::join_all(doomed.into_iter().map(|pod| self.delete(pod))).await;
            time::sleep(PAUSE).await;
        }
    }

    /// Says of Pods that they are stuck; the few that are to be deleted now.
    fn look(&self) -> Vec<Placed> {
        let config = self.means.config.load();
        // By the same rules as if they were gated, whatever happens to new ones that nobody can run.
        let mut rules = Config::clone(&config);
        rules.place.on_missing = OnMissing::Wait;
        let (now, wall) = (Instant::now().into_std(), Timestamp::now());
        let mut state = self.state();
        let State { placed, rounds } = &mut *state;
        rounds.forget(wall);
        self.means.nodes.read(|index| {
            let Some(index) = index else { return Vec::new() };
            let scene = Scene { config: &rules, own_namespace: &self.means.own_namespace, index, now };
            let stuck = placed.values_mut().filter_map(|pod| {
                let outlook = pod.is_overdue(config.place.stuck_after, now).then(|| pod.outlook(scene)).flatten();
                outlook.map(|outlook| (pod, outlook))
            });
            let stuck: Vec<_> = stuck.collect();
            self.means.metrics.controller.stuck(stuck.len());
            let mut doomed = Vec::new();
            for (pod, outlook) in stuck {
                let remedy = pod.remedy(&outlook, config.place.stuck, rounds);
                let note = format!("{}: {}", pod.words(&outlook), remedy.advice());
                if pod.is_news(&note) {
                    self.means.metrics.controller.stuck_pod(outcome::Stuck::Noted);
                    self.means.events.say(&pod.who, Reason::StuckOnImage, &note);
                }
                if remedy == Remedy::Delete && doomed.len() < DELETED_AT_ONCE && pod.is_due(now) {
                    doomed.push(pod.clone());
                }
            }
            doomed
        })
    }

    /// Deletes one, if it is still the Pod that was seen and so was never bound.
    async fn delete(&self, pod: Placed) {
        let (namespace, name) = (&pod.who.namespace, &pod.who.name);
        let api = Api::<DynamicObject>::namespaced_with(self.means.client.clone(), namespace, &pods());
        let seen = Preconditions { uid: Some(pod.who.uid.clone()), resource_version: Some(pod.version.clone()) };
        let deletion = DeleteParams { preconditions: Some(seen), ..DeleteParams::default() };
        match within(api.delete(name, &deletion)).await {
            Ok(_) => {
                info!(namespace, pod = name, "deleted a Pod that was stuck: its owner makes it again");
                self.means.metrics.controller.stuck_pod(outcome::Stuck::Deleted);
                let mut state = self.state();
                state.rounds.record(&pod, Timestamp::now());
                state.placed.remove(&pod.who.uid);
            }
            Err(failure) if failure.is_gone() || failure.is_changed() => (), // its news leads here again
            Err(failure) => {
                if failure.is_forbidden() {
                    let note = "it is stuck and may not be deleted: bind the ClusterRole berth-delete-stuck to berth-controller";
                    self.means.events.say(&pod.who, Reason::StuckOnImage, note);
                }
                warn!(namespace, pod = name, %failure, "a stuck Pod could not be deleted, and will be tried again");
                self.means.metrics.controller.stuck_pod(outcome::Stuck::Failed);
                if let Some(pod) = self.state().placed.get_mut(&pod.who.uid) {
                    pod.pause_until(Instant::now().into_std() + PAUSE_AFTER_FAILURE);
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A Pod is not to be looked after any more. Where another controller has deleted it, that is remembered here, too.
    fn gone(&mut self, object: &DynamicObject) {
        let known = self.placed.remove(object.metadata.uid.as_deref().unwrap_or_default());
        let bound = object.data.pointer("/spec/nodeName").is_some();
        if let Some(pod) = known.filter(|pod| pod.is_doomed() && !bound) {
            self.rounds.record(&pod, Timestamp::now());
        }
    }
}

/// Only those that no node has yet.
const UNBOUND: &str = "spec.nodeName=";
/// After this long it is looked again without any news: Pods become overdue by time alone.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Time between two looks, and so between two batches of deletions.
const PAUSE: Duration = Duration::from_secs(1);
/// Pods that are deleted in a batch: a thousand take less than two minutes, and no owner is overrun.
const DELETED_AT_ONCE: usize = 10;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

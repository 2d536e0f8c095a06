//! The watch of the nodes: the only writer of the index.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use kube::{
    Api, Client,
    runtime::watcher::{Config, Event},
};
use tokio::sync::watch;
use tracing::info;

use super::{Index, Node, Now};
use crate::{
    follow::{attentive, follow_or_lose},
    telemetry::Metrics,
};

/// What the nodes hold, now.
#[derive(Debug)]
pub struct Nodes {
    index: RwLock<Index>,
    synced: AtomicBool,
    changes: watch::Sender<()>,
}

impl Nodes {
    /// Nodes that are not known yet: [`follow`](Self::follow) them. `list_limit`: see [`Index::new`].
    pub fn new(list_limit: usize) -> Self {
        Self {
            index: RwLock::new(Index::new(list_limit, Now::read())),
            synced: false.into(),
            changes: watch::Sender::default(),
        }
    }

    /// Nodes that do not change: from a file, or in tests.
    pub fn fixed(index: Index) -> Self {
        Self { index: RwLock::new(index), synced: true.into(), changes: watch::Sender::default() }
    }

    /// Looks at the index under a short lock; there is none until the first list is complete, because half a list looks
    /// as if the other nodes did not exist.
    pub fn read<T>(&self, look: impl FnOnce(Option<&Index>) -> T) -> T {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        look(self.synced().then_some(&*index))
    }

    /// Whether the first list is complete.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Tells when a node lists other images than before, or the list is complete.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Follows the nodes at the API server, for ever.
    pub async fn follow(self: Arc<Self>, client: Client, metrics: Arc<Metrics>) {
        let (nodes, counted) = (Arc::clone(&self), Arc::clone(&metrics));
        let client = attentive(client, move || nodes.hear(&counted));
        let config = Config::default().page_size(PAGE);
        let lose = || self.write(&metrics, Index::lose);
        let fold = |event| self.fold(event, &metrics);
        follow_or_lose("nodes", Api::all(client), config, &metrics, fold, lose).await;
    }

    fn fold(&self, event: Event<Node>, metrics: &Metrics) {
        let changed = self.write(metrics, |index| match event {
            Event::Init => {
                index.begin_list();
                false
            }
            Event::InitApply(node) | Event::Apply(node) => index.apply(&node),
            Event::Delete(node) => {
                index.remove(node.name());
                true
            }
            Event::InitDone => {
                index.end_list();
                self.list_complete(index);
                true
            }
        });
        if changed && self.synced() {
            self.changes.send_replace(());
        }
    }

    fn list_complete(&self, index: &Index) {
        if !self.synced.swap(true, Ordering::Release) {
            info!(nodes = index.len(), unknown = index.unknown_len(), "the first list of nodes is complete");
        }
    }

    /// Notes that the API was heard of.
    fn hear(&self, metrics: &Metrics) {
        self.write(metrics, |index| index.hear(Now::read()));
    }

    fn write<T>(&self, metrics: &Metrics, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut index);
        metrics.nodes_heard(index.len(), index.heard().into());
        changed
    }
}

/// Nodes a page of the list: a page of them is held in memory as text, at some 30 KB each.
const PAGE: u32 = 100;

#[cfg(test)]
mod tests;

//! The index: which node lists which image, inverted and interned.

use std::{
    hash::{BuildHasher as _, RandomState},
    mem,
    time::Instant,
};

use super::{
    facts::Facts,
    images::{Evidence, Images},
    listed::{Listed, Listing},
    names::Interner,
    node::{Image, Node},
    order::Ordered,
    view::NodeView,
};
use crate::image::Reference;

/// Which node holds which image, as far as their lists tell.
///
/// All iteration is in the order of the nodes' names.
#[derive(Debug)]
pub struct Index {
    /// A node's list of this length or more is cut.
    list_limit: usize,
    heard: Instant,
    nodes: Interner<str, Slot>,
    all: Ordered,
    /// Each node is either in this or in `proving`.
    unknown: Ordered,
    proving: Ordered,
    images: Images,
    /// Labels and other texts that nodes repeat.
    texts: Interner<str, ()>,
    /// The number of the full list that is being read, or was read last.
    round: u32,
    hasher: RandomState,
}

/// What the index keeps of a node.
#[derive(Debug, Default)]
struct Slot {
    /// The entries of its list, by number, in ascending order; one twice where the kubelet says it twice.
    entries: Box<[u32]>,
    /// A keyed hash of the list, to see whether it changed.
    print: u64,
    /// The last full list that had the node.
    round: u32,
    /// What is not in its list is not on the node.
    proving: bool,
    facts: Facts,
}

impl Index {
    /// An index of no nodes. `list_limit`: a node's list of this length or more is cut (`place.listLimit`).
    pub fn new(list_limit: usize, now: Instant) -> Self {
        Self {
            list_limit,
            heard: now,
            nodes: Interner::default(),
            all: Ordered::default(),
            unknown: Ordered::default(),
            proving: Ordered::default(),
            images: Images::default(),
            texts: Interner::default(),
            round: 0,
            hasher: RandomState::new(),
        }
    }

    /// An index of `nodes`.
    pub fn from_nodes(nodes: impl IntoIterator<Item = Node>, list_limit: usize, now: Instant) -> Self {
        let mut index = Self::new(list_limit, now);
        for node in nodes {
            index.apply(&node);
        }
        index
    }

    /// What the lists say about where `image` came from. Costs the same for any number of nodes.
    pub fn evidence(&self, image: &Reference) -> Evidence {
        self.images.evidence(image)
    }

    /// Whether some node lists an image by a digest at `host` (`docker.io`, `harbor.local`): so it could pull from there.
    /// Costs the same for any number of nodes.
    pub fn has_pulled_from(&self, host: &str) -> bool {
        self.images.has_pulled_from(host)
    }

    /// The nodes that list `image`: by its digest if it has one, else by its tag. Costs by their number.
    pub fn listed(&self, image: &Reference) -> impl Iterator<Item = (NodeView<'_>, Listing)> {
        Listed::new(self, self.images.holders(image))
    }

    /// The nodes whose list does not prove that an image is absent: it is cut or empty, an entry is cut at five names,
    /// or the runtime resolves names in ways of its own. Taking the first few costs by the few.
    pub fn unknown(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.views(&self.unknown)
    }

    /// The nodes that are not [`unknown`](Self::unknown): what is not in their list is absent.
    pub fn proving(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.views(&self.proving)
    }

    /// Whether the node of this name is [`unknown`](Self::unknown).
    pub fn is_unknown(&self, name: &str) -> bool {
        self.nodes.find(name).is_some_and(|number| !self.nodes.value(number).proving)
    }

    /// How many nodes are [`unknown`](Self::unknown).
    pub fn unknown_len(&self) -> usize {
        self.unknown.numbers().len()
    }

    /// The node of this name.
    pub fn get(&self, name: &str) -> Option<NodeView<'_>> {
        self.nodes.find(name).map(|number| self.view(number))
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.views(&self.all)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.all.numbers().len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.all.numbers().is_empty()
    }

    /// When the API was last heard of, with news or without.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    fn views(&self, nodes: &Ordered) -> impl Iterator<Item = NodeView<'_>> {
        nodes.numbers().iter().map(|number| self.view(*number))
    }

    pub(super) fn view(&self, number: u32) -> NodeView<'_> {
        NodeView::new(self.nodes.key(number), &self.nodes.value(number).facts, &self.texts)
    }
}

/// Changes; [`watch`](super::watch) is the only one who makes them while reviews are served.
impl Index {
    /// Notes that the API was heard of.
    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A full list begins: [`apply`](Self::apply) all of it, then [`end_list`](Self::end_list).
    pub fn begin_list(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The full list is complete: nodes that were not in it are gone.
    pub fn end_list(&mut self) {
        let stale = |number: &u32| self.nodes.value(*number).round != self.round;
        let gone: Vec<u32> = self.all.numbers().iter().copied().filter(stale).collect();
        for number in gone {
            self.remove_number(number);
        }
    }

    /// Takes in a node, new or changed, and says whether its images are others than before; where they are not, nothing
    /// is done about them.
    pub fn apply(&mut self, node: &Node) -> bool {
        let number = self.nodes.find(node.name()).unwrap_or_else(|| self.add(node.name()));
        let (facts, images) = (Facts::of(node, &mut self.texts), &node.status.images);
        let tells = facts.runtime.tells();
        let proving = tells && is_whole(images, self.list_limit);
        let print = self.hasher.hash_one((tells, images));
        let slot = self.nodes.value_mut(number);
        slot.round = self.round;
        mem::replace(&mut slot.facts, facts).release(&mut self.texts);
        let changed = mem::replace(&mut slot.print, print) != print;
        if mem::replace(&mut slot.proving, proving) != proving {
            let kinds = (&mut self.unknown, &mut self.proving);
            let (from, to) = if proving { kinds } else { (kinds.1, kinds.0) };
            from.remove(number, &self.nodes);
            to.insert(number, &self.nodes);
        }
        if changed {
            self.list(number, images, tells);
        }
        changed
    }

    /// Forgets a node.
    pub fn remove(&mut self, name: &str) {
        if let Some(number) = self.nodes.find(name) {
            self.remove_number(number);
        }
    }

    fn add(&mut self, name: &str) -> u32 {
        let number = self.nodes.hold(name, Slot::default);
        self.all.insert(number, &self.nodes);
        self.unknown.insert(number, &self.nodes);
        number
    }

    /// Makes `images` the list of the node `number`, touching only what differs.
    fn list(&mut self, number: u32, images: &[Image], tells: bool) {
        let mut new: Vec<u32> = images.iter().filter_map(|image| self.images.hold(&image.names, tells)).collect();
        new.sort_unstable();
        let new = new.into_boxed_slice();
        let old = mem::take(&mut self.nodes.value_mut(number).entries);
        for entry in new.iter().filter(|entry| old.binary_search(entry).is_err()) {
            self.images.nodes_mut(*entry).insert(number, &self.nodes);
        }
        self.withdraw(number, &old, &new);
        self.nodes.value_mut(number).entries = new;
    }

    /// Takes the node `number` out of the entries of `old` that are not in `new`, and counts it out of all of `old`.
    fn withdraw(&mut self, number: u32, old: &[u32], new: &[u32]) {
        for entry in old {
            if new.binary_search(entry).is_err() {
                self.images.nodes_mut(*entry).remove(number, &self.nodes);
            }
            self.images.release(*entry);
        }
    }

    fn remove_number(&mut self, number: u32) {
        let old = mem::take(&mut self.nodes.value_mut(number).entries);
        self.withdraw(number, &old, &[]);
        for kind in [&mut self.all, &mut self.unknown, &mut self.proving] {
            kind.remove(number, &self.nodes);
        }
        if let Some((_, slot)) = self.nodes.release(number) {
            slot.facts.release(&mut self.texts);
        }
    }
}

#[cfg(test)]
impl Index {
    /// How many nodes, entries, names, repositories, hosts and texts are kept.
    fn sizes(&self) -> [usize; 6] {
        let [entries, names, repositories, hosts] = self.images.sizes();
        [self.nodes.len(), entries, names, repositories, hosts, self.texts.len()]
    }
}

/// Whether nothing was cut from a list. An empty one is not filled yet, switched off, or true.
fn is_whole(images: &[Image], list_limit: usize) -> bool {
    (1..list_limit).contains(&images.len()) && images.iter().all(|image| image.names.len() < NAMES_LIMIT)
}

/// Names of an entry at which the kubelet cuts. Source: `MaxNamesPerImageInNodeStatus`.
const NAMES_LIMIT: usize = 5;

#[cfg(test)]
mod tests;

//! The index: which node lists which image, inverted and interned.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    time::Instant,
};

use super::{
    changes::Changes,
    facts::Facts,
    images::{Evidence, Images},
    listed::{Listed, Listing},
    names::Interner,
    node::Node,
    now::Now,
    order::Ordered,
    sighting::Sighting,
    told::{Telling, Told},
    view::NodeView,
};
use crate::image::Reference;

/// Which node holds which image, as far as their lists tell.
///
/// All iteration is in the order of the nodes' names.
#[derive(Debug)]
pub struct Index {
    /// A node's list of this length or more is cut.
    pub(super) list_limit: usize,
    /// When the API was last heard of.
    pub(super) heard: Now,
    /// When what is known was last true.
    pub(super) fresh: Instant,
    /// The same before the API was last heard of.
    pub(super) fresh_before: Instant,
    pub(super) nodes: Interner<str, Slot>,
    pub(super) all: Ordered,
    /// Each node is either in this or in `proving`.
    pub(super) unknown: Ordered,
    pub(super) proving: Ordered,
    pub(super) images: Images,
    pub(super) told: Told,
    pub(super) changes: Changes,
    /// Labels and other texts that nodes repeat.
    pub(super) texts: Interner<str, ()>,
    /// The number of the full list that is being read, or was read last.
    pub(super) round: u32,
    /// When the full list began that is being read.
    pub(super) listing: Option<Instant>,
    pub(super) hasher: RandomState,
}

/// What the index keeps of a node.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The entries of its list, by number, in ascending order; one twice where the kubelet says it twice.
    pub(super) entries: Box<[u32]>,
    /// What was said to be loaded, by the numbers of the images.
    pub(super) told: Box<[u32]>,
    /// A keyed hash of the list, to see whether it changed.
    pub(super) print: u64,
    /// The last full list that had the node.
    pub(super) round: u32,
    /// What is not in its list is not on the node.
    pub(super) proving: bool,
    pub(super) facts: Facts,
}

impl Index {
    /// An index of no nodes. `list_limit`: a node's list of this length or more is cut (`place.listLimit`).
    pub fn new(list_limit: usize, now: Now) -> Self {
        Self {
            list_limit,
            heard: now,
            fresh: now.instant,
            fresh_before: now.instant,
            nodes: Interner::default(),
            all: Ordered::default(),
            unknown: Ordered::default(),
            proving: Ordered::default(),
            images: Images::default(),
            told: Told::default(),
            changes: Changes::default(),
            texts: Interner::default(),
            round: 0,
            listing: None,
            hasher: RandomState::new(),
        }
    }

    /// An index of `nodes`.
    pub fn from_nodes(nodes: impl IntoIterator<Item = Node>, list_limit: usize, now: Now) -> Self {
        let mut index = Self::new(list_limit, now);
        index.begin_list();
        for node in nodes {
            index.apply(&node);
        }
        index.end_list();
        index
    }

    /// What the nodes say at `now` about where `image` came from: their lists, and what was loaded just now. Costs the
    /// same for any number of nodes that list it.
    pub fn evidence(&self, image: &Reference, now: Instant) -> Evidence {
        let loaded = || self.told_of(image).iter().any(|telling| telling.is_fresh(now));
        match self.images.evidence(image) {
            Evidence::Local => Evidence::Local,
            _ if image.digest().is_none() && loaded() && !self.images.has_pulled(image) => Evidence::Local,
            listed => listed,
        }
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

    /// The nodes on which `image` was loaded so recently, at `now`, that their lists may not have it yet.
    pub fn told(&self, image: &Reference, now: Instant) -> impl Iterator<Item = NodeView<'_>> {
        let fresh = self.told_of(image).iter().filter(move |telling| telling.is_fresh(now));
        fresh.map(|telling| self.view(telling.node))
    }

    /// The nodes that list `image` or were said to have got it, however long ago. Costs by their number.
    pub fn sightings(&self, image: &Reference) -> Vec<Sighting<'_>> {
        let mut tellings: BTreeMap<u32, &Telling> =
            self.told_of(image).iter().map(|telling| (telling.node, telling)).collect();
        let mut sightings = Vec::new();
        for holders in self.images.holders(image) {
            for number in holders.nodes {
                let listed = Some((holders.entry, Listing::of(&holders, self.view(*number))));
                sightings.push(Sighting::of(self, image, *number, listed, tellings.remove(number)));
            }
        }
        sightings.extend(tellings.into_values().map(|told| Sighting::of(self, image, told.node, None, Some(told))));
        sightings
    }

    fn told_of(&self, image: &Reference) -> &[Telling] {
        self.told.of(&image.target())
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

    /// When the API last told about nodes, with news or without: what is known is as old as that.
    pub fn heard(&self) -> Instant {
        self.fresh
    }

    fn views(&self, nodes: &Ordered) -> impl Iterator<Item = NodeView<'_>> {
        nodes.numbers().iter().map(|number| self.view(*number))
    }

    pub(super) fn view(&self, number: u32) -> NodeView<'_> {
        NodeView::new(self.nodes.key(number), &self.nodes.value(number).facts, &self.texts)
    }

    /// A keyed hash of an entry: what two nodes list alike has the same.
    pub(super) fn print(&self, entry: u32) -> u64 {
        self.hasher.hash_one(self.images.entry(entry))
    }
}

#[cfg(test)]
impl Index {
    /// How many nodes, entries, names, repositories, hosts, texts, loads and changes are kept.
    fn sizes(&self) -> [usize; 8] {
        let [entries, names, repositories, hosts] = self.images.sizes();
        let (texts, loads, changes) = (self.texts.len(), self.told.len(), self.changes.len());
        [self.nodes.len(), entries, names, repositories, hosts, texts, loads, changes]
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

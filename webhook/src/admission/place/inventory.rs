//! The kinds of node, for all images together that a Pod needs.

use std::{
    collections::{BTreeMap, HashSet},
    time::Instant,
};

use super::{Wanted, provided::Provided};
use crate::{
    admission::{note::Note, select::PullPolicy},
    config,
    nodes::{Index, NodeView},
};

/// What a node is for the images that a Pod needs, all of them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// Lists them all, or provides what it does not list. The first to choose: where a `Never` image came by an import, or nothing is `Never`.
    Sure,
    /// Has them all, one of them by the word of `berth load` alone: its list is up to 40 s late.
    Told,
    /// Lists them all; a `Never` image came by a pull, and the kubelet remembers pulls by the spelling of the name.
    Holder,
    /// Lists them all, but the kubelet may refuse one: the same content was pulled under another name.
    Contested,
    /// Its list does not prove that one is missing.
    Unknown,
    /// Lacks one.
    Absent,
}

/// Which nodes have the images that a Pod needs. Costs by the number of these nodes.
#[derive(Debug)]
pub(super) struct Inventory<'a> {
    pub(super) index: &'a Index,
    /// What is needed, each image once.
    pub(super) wanted: Vec<&'a Wanted>,
    /// When the decision is made.
    pub(super) now: Instant,
    /// Who has the images by its labels.
    pub(super) provided: Provided<'a>,
    listed: BTreeMap<&'a str, Tally<'a>>,
}

/// What one node lists, or was told to have.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    pub(super) node: NodeView<'a>,
    /// Which of `wanted`, by place.
    pub(super) images: Vec<usize>,
    /// The kubelet may refuse one of them.
    pub(super) contested: bool,
    /// One of them is not listed yet.
    told: bool,
    sure: bool,
}

impl Kind {
    /// Has all that is needed, and will not refuse it.
    pub(super) fn is_holder(self) -> bool {
        matches!(self, Self::Sure | Self::Told | Self::Holder)
    }

    /// What is loaded just now is as good as what is listed.
    pub(super) fn preference(self) -> Self {
        if self == Self::Told { Self::Sure } else { self }
    }
}

impl<'a> Inventory<'a> {
    pub(super) fn of(index: &'a Index, wanted: &[&'a Wanted], config: &'a config::Place, now: Instant) -> Self {
        let mut inventory =
            Self { index, wanted: Vec::new(), now, provided: Provided::default(), listed: BTreeMap::new() };
        let mut seen = HashSet::new();
        for one in wanted {
            if seen.insert(one.image.target()) {
                inventory.provided.count(one, config);
                inventory.count(one);
            }
        }
        inventory
    }

    fn count(&mut self, wanted: &'a Wanted) {
        let place = self.wanted.len();
        self.wanted.push(wanted);
        for (node, listing) in self.index.listed(&wanted.image) {
            let tally = self.listed.entry(node.name()).or_insert_with(|| Tally::of(node));
            tally.images.push(place);
            tally.sure &= listing.imported || wanted.policy != PullPolicy::Never;
            tally.contested |= listing.contested;
        }
        for node in self.index.told(&wanted.image, self.now) {
            let tally = self.listed.entry(node.name()).or_insert_with(|| Tally::of(node));
            if tally.images.last() != Some(&place) {
                tally.images.push(place);
                tally.told = true;
            }
        }
    }

    /// What `node` is.
    pub(super) fn kind(&self, node: NodeView<'_>) -> Kind {
        let tally = self.listed.get(node.name());
        let listed = |place: &usize| tally.is_some_and(|tally| tally.images.contains(place));
        let all = (0..self.wanted.len()).all(|place| listed(&place) || self.provided.has(place, node));
        match tally {
            None if all => Kind::Sure,
            Some(tally) if all && tally.contested => Kind::Contested,
            Some(tally) if all && tally.told => Kind::Told,
            Some(tally) if all && tally.sure => Kind::Sure,
            Some(_) if all => Kind::Holder,
            Some(tally) if tally.contested && self.index.is_unknown(node.name()) => Kind::Contested,
            _ if self.index.is_unknown(node.name()) => Kind::Unknown,
            _ => Kind::Absent,
        }
    }

    /// The images whose builds can differ from node to node: those with a tag that nobody provides.
    pub(super) fn rebuilt(&self) -> impl Iterator<Item = &'a Wanted> {
        let places = self.wanted.iter().enumerate();
        places.filter(|(place, one)| one.image.digest().is_none() && !self.provided.any(*place)).map(|(_, one)| *one)
    }

    /// `note`, about the one container or volume where there is one.
    pub(super) fn about(&self, note: Note) -> Note {
        match self.wanted.as_slice() {
            [one] => note.about(&one.about),
            _ => note,
        }
    }

    /// How many of the images `node` lists.
    pub(super) fn listed_by(&self, node: NodeView<'_>) -> usize {
        self.listed.get(node.name()).map_or(0, |tally| tally.images.len())
    }

    /// The nodes that list some of the images, in the order of their names.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Tally<'a>> {
        self.listed.values()
    }
}

impl<'a> Tally<'a> {
    /// Nothing yet.
    fn of(node: NodeView<'a>) -> Self {
        Self { node, images: Vec::new(), contested: false, told: false, sure: true }
    }
}

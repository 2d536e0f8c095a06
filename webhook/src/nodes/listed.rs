//! The nodes that list an image.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{images::Holders, index::Index, view::NodeView};

/// How a node lists an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listing {
    /// The entry has the tag and no digest of its own repository: it came by an import (containerd and docker only).
    pub imported: bool,
    /// The entry also has a digest of another repository: a kubelet since 1.35 may refuse it (KEP-2535).
    pub contested: bool,
}

impl Listing {
    /// How `node`, one of `holders`, lists the image.
    pub(super) fn of(holders: &Holders<'_>, node: NodeView<'_>) -> Self {
        Self { imported: holders.imported, contested: holders.foreign && node.remembers_pulls() }
    }
}

/// The nodes that list an image: those of several entries, merged in the order of their names.
pub(super) struct Listed<'a> {
    index: &'a Index,
    heads: BinaryHeap<Head<'a>>,
}

impl<'a> Listed<'a> {
    pub(super) fn new(index: &'a Index, holders: impl Iterator<Item = Holders<'a>>) -> Self {
        Self { index, heads: holders.filter_map(|holders| Head::first(index, holders)).collect() }
    }

    fn pop(&mut self) -> Option<(NodeView<'a>, Listing)> {
        let Head { node, rest } = self.heads.pop()?;
        let listing = Listing::of(&rest, node);
        self.heads.extend(Head::first(self.index, rest));
        Some((node, listing))
    }
}

impl<'a> Iterator for Listed<'a> {
    type Item = (NodeView<'a>, Listing);

    fn next(&mut self) -> Option<Self::Item> {
        let (node, mut listing) = self.pop()?;
        // No runtime has one name twice, but a kubelet can say so: then the doubts add up.
        while self.heads.peek().is_some_and(|head| head.node.name() == node.name()) {
            let (_, other) = self.pop()?;
            listing.imported &= other.imported;
            listing.contested |= other.contested;
        }
        Some((node, listing))
    }
}

/// The next node of an entry, and those after it.
struct Head<'a> {
    node: NodeView<'a>,
    rest: Holders<'a>,
}

impl<'a> Head<'a> {
    fn first(index: &'a Index, holders: Holders<'a>) -> Option<Self> {
        let (first, rest) = holders.nodes.split_first()?;
        Some(Self { node: index.view(*first), rest: Holders { nodes: rest, ..holders } })
    }
}

/// The greatest is the one whose node comes first.
impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.node.name().cmp(self.node.name())
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

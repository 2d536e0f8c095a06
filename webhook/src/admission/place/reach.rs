//! The nodes within reach of a Pod: those that it can use and that can have what it needs.

use std::collections::BTreeSet;

use super::{
    cut::{Budget, HOSTNAMES, hostnames},
    inventory::{Inventory, Kind},
};
use crate::{
    admission::fits::{Fit, HOSTNAME, Needs, Obstacle, Term},
    config::{Selector, Strategy},
    nodes::NodeView,
};

/// The nodes that a Pod can use and that can have what it needs.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    pub(super) inventory: &'a Inventory<'a>,
    pub(super) needs: &'a Needs<'a>,
    /// The kinds of node that count.
    kinds: &'static [Kind],
    /// Nodes of these kinds: those that list all that is needed, then those that cannot tell.
    pub(super) candidates: Vec<Candidate<'a>>,
    /// `candidates` are all there are.
    pub(super) complete: bool,
    /// By these labels, one set or another, nodes have all that is needed. They are in nobody's list of names: others like
    /// them may join.
    pub(super) provided: Vec<Selector>,
    /// The nodes with the newest builds, where they are known.
    newest: Option<BTreeSet<&'a str>>,
    /// The Pod is held to them.
    held_to_newest: bool,
}

/// A node within reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) node: NodeView<'a>,
    pub(super) kind: Kind,
    /// What keeps the Pod from it at the moment.
    pub(super) obstacle: Option<Obstacle<'a>>,
}

impl<'a> Reach<'a> {
    pub(super) fn of(inventory: &'a Inventory<'a>, needs: &'a Needs<'a>, strategy: Strategy) -> Self {
        let provided = inventory.provided.of_all(needs, inventory.index);
        let covered = |node: &NodeView<'_>| covers(&provided, *node);
        let listing = inventory.listed().map(|tally| tally.node).filter(|node| !covered(node));
        let mut candidates: Vec<_> = listing.filter_map(|node| Candidate::of(inventory, needs, node)).collect();
        let held = !provided.is_empty() || candidates.iter().any(|candidate| candidate.kind.is_holder());
        let kinds: &[Kind] = match (held, strategy) {
            (true, Strategy::Strict) => HOLDERS,
            (true, Strategy::Prefer) => &[Kind::Sure, Kind::Told, Kind::Holder, Kind::Unknown],
            (false, _) => &[Kind::Contested, Kind::Unknown],
        };
        candidates.retain(|candidate| candidate.kind != Kind::Unknown && kinds.contains(&candidate.kind));
        let mut reach =
            Self { inventory, needs, kinds, candidates, complete: true, provided, newest: None, held_to_newest: false };
        if reach.counts_unknown() {
            reach.add_unknown();
        }
        reach
    }

    /// Adds nodes that cannot tell, as many as a requirement can name and one more.
    fn add_unknown(&mut self) {
        let room = (HOSTNAMES + 1).saturating_sub(self.candidates.len());
        let index = self.inventory.index;
        let examined = index.unknown().take(UNKNOWN_EXAMINED);
        let usable = examined.filter_map(|node| Candidate::of(self.inventory, self.needs, node));
        let maybe =
            usable.filter(|candidate| candidate.kind == Kind::Unknown && !covers(&self.provided, candidate.node));
        let found: Vec<_> = maybe.take(room).collect();
        let all_examined = found.len() < room && index.unknown_len() <= UNKNOWN_EXAMINED;
        self.complete = all_examined || index.unknown_len() == 0;
        self.candidates.extend(found);
    }

    /// No node that the Pod can use can have what it needs.
    pub(super) fn is_nobody(&self) -> bool {
        self.candidates.is_empty() && self.complete && self.provided.is_empty()
    }

    /// Marks the nodes that have the newest builds.
    pub(super) fn prefer_only(&mut self, newest: BTreeSet<&'a str>) {
        self.newest = Some(newest);
    }

    /// Leaves only the marked nodes within reach.
    pub(super) fn hold_to_preferred(&mut self) {
        let Some(newest) = &self.newest else { return };
        self.candidates.retain(|candidate| newest.contains(candidate.node.name()));
        self.kinds = if self.kinds.contains(&Kind::Contested) { &[Kind::Contested] } else { HOLDERS };
        (self.complete, self.held_to_newest) = (true, true);
    }

    /// Whether the Pod is held to the nodes with the newest builds.
    pub(super) fn is_held_to_newest(&self) -> bool {
        self.held_to_newest
    }

    /// Whether `node` is as new as any, as far as is known.
    pub(super) fn is_new(&self, node: NodeView<'_>) -> bool {
        self.newest.as_ref().is_none_or(|newest| newest.contains(node.name()))
    }

    /// The nodes that list all that is needed, contested or not.
    pub(super) fn listing(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.candidates.iter().filter(|candidate| candidate.kind != Kind::Unknown)
    }

    /// Whether each term that the user, or Berth before, wrote names only nodes within self.
    pub(super) fn is_settled(&self) -> bool {
        let Some(terms) = self.needs.affinity().required() else { return false };
        let known = |label: &str| self.candidates.iter().any(|candidate| candidate.node.hostname() == Some(label));
        // Where the label is the node's name, as nearly always, not all candidates need be known.
        let named = |label: &str| {
            let node = self.inventory.index.get(label).filter(|node| node.hostname() == Some(label));
            node.is_some_and(|node| self.allows(node))
        };
        let settled = |term: &Term<'_>| {
            let mut lists = term.allowed(HOSTNAME);
            let listed = lists.any(|labels| labels.iter().all(|label| known(label) || named(label)));
            listed || self.provided.iter().any(|set| term.demands(set))
        };
        let mut open = terms.iter().filter(|term| !term.is_empty()).peekable();
        open.peek().is_some() && open.all(settled)
    }

    /// Whether the Pod may go to `node`.
    pub(super) fn allows(&self, node: NodeView<'_>) -> bool {
        let newest = || !self.held_to_newest || self.is_new(node);
        covers(&self.provided, node) || (self.kinds.contains(&self.inventory.kind(node)) && newest())
    }

    /// Whether there is no other node that the Pod can use, as far as a look at a few nodes shows.
    pub(super) fn is_everywhere(&self) -> bool {
        let mut others = self.others();
        let found = others.by_ref().take(OTHERS_EXAMINED).flatten().next().is_some();
        !found && others.next().is_none()
    }

    /// The hostnames of all nodes out of reach that the Pod could use. None where there are too many or one cannot be
    /// named, and where naming them is not the same as naming those within reach.
    pub(super) fn others_named(&self, budget: Budget) -> Option<Vec<String>> {
        if !self.counts_unknown() {
            return None; // a node that joins later cannot tell either, and would be allowed
        }
        hostnames(self.others().flatten(), budget)
    }

    /// Each node that may be out of reach: itself if it is and the Pod could use it, else nothing.
    fn others(&self) -> impl Iterator<Item = Option<NodeView<'a>>> {
        let index = self.inventory.index;
        let contested = self.inventory.listed().map(|tally| tally.node).filter(|node| index.is_unknown(node.name()));
        let unknown = (!self.counts_unknown()).then(|| index.unknown());
        let maybe = index.proving().chain(contested).chain(unknown.into_iter().flatten());
        maybe.map(|node| {
            let usable = || !matches!(self.needs.fit(node), Fit::Never(_));
            (!self.allows(node) && usable()).then_some(node)
        })
    }

    /// Whether nodes count that cannot tell.
    pub(super) fn counts_unknown(&self) -> bool {
        self.kinds.contains(&Kind::Unknown)
    }
}

impl<'a> Candidate<'a> {
    /// `node` as a candidate; none where the Pod can never use it.
    pub(super) fn of(inventory: &Inventory<'_>, needs: &'a Needs<'_>, node: NodeView<'a>) -> Option<Self> {
        let obstacle = match needs.fit(node) {
            Fit::Now => None,
            Fit::NotNow(obstacle) => Some(obstacle),
            Fit::Never(_) => return None,
        };
        Some(Self { node, kind: inventory.kind(node), obstacle })
    }

    /// Whether nothing is known against it but a device that its list lacks.
    pub(super) fn lists_no_device(&self) -> bool {
        matches!(self.obstacle, Some(Obstacle::Unlisted(_)))
    }
}

/// Whether `node` has the labels of one of the `provided` sets.
fn covers(provided: &[Selector], node: NodeView<'_>) -> bool {
    provided.iter().any(|selector| selector.matches(|key| node.label(key)))
}

/// Kinds of node that have all that is needed.
const HOLDERS: &[Kind] = &[Kind::Sure, Kind::Told, Kind::Holder];
/// Nodes that cannot tell at which is looked for some that the Pod can use: bounds the work of one review.
const UNKNOWN_EXAMINED: usize = 2_048;
/// Nodes at which is looked for one out of reach: bounds the work where nearly none is usable.
const OTHERS_EXAMINED: usize = 256;

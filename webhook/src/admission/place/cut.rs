//! How many hostnames a Pod can carry, and which of them stay.

use std::collections::HashMap;

use super::{is_gated, reach::Candidate};
use crate::{
    admission::{decode::Pod, fits::Needs},
    config::{LabelRequirement, Selector},
    nodes::NodeView,
};

/// Room for hostnames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Bytes of their JSON.
    bytes: usize,
}

impl Budget {
    /// For the one requirement that is repeated in each of `terms` terms.
    pub(super) fn per_term(terms: usize) -> Self {
        Self { bytes: (REQUIRED_BYTES / terms.max(1)).saturating_sub(TERM_BYTES) }
    }

    /// For the preferred term.
    pub(super) fn preferred() -> Self {
        Self { bytes: PREFERRED_BYTES }
    }

    /// All of it.
    pub(super) fn room(self) -> Room {
        Room { bytes: self.bytes, names: HOSTNAMES }
    }
}

impl Budget {
    /// Whether it holds what `selector` says.
    pub(super) fn holds(self, selector: &Selector) -> bool {
        let bytes = |requirement: &LabelRequirement| {
            requirement.key.len()
                + requirement.values.iter().map(|value| value.len() + 3).sum::<usize>()
                + TERM_BYTES / 4
        };
        selector.requirements.iter().map(bytes).sum::<usize>() <= self.bytes
    }
}

/// How many ways to be scheduled can stand beside each other in a Pod's affinity.
///
/// Each more is a copy of all terms that the user wrote: terms are alternatives, and one that said only where the image is
/// would widen what the user wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternatives(usize);

impl Alternatives {
    /// As many as fit. The API takes no new terms for a Pod that is gated, unless it had none.
    pub(super) fn of(pod: &Pod<'_>, needs: &Needs<'_>) -> Self {
        let bytes = pod.spec.affinity.map_or(0, |raw| raw.get().len());
        Self(match needs.affinity().required() {
            None => usize::MAX,
            Some(_) if is_gated(pod) => 1,
            Some(_) => 1 + COPIES_BYTES / bytes.max(1),
        })
    }

    /// Whether so many do.
    pub(super) fn hold(self, ways: usize) -> bool {
        ways <= self.0
    }
}

/// What is left of a budget.
pub(super) struct Room {
    bytes: usize,
    names: usize,
}

impl Room {
    /// Takes the room for `hostname`, with its quotes and comma.
    pub(super) fn take(&mut self, hostname: &str) -> bool {
        let left = self.bytes.checked_sub(hostname.len() + 3).zip(self.names.checked_sub(1));
        left.is_some_and(|(bytes, names)| {
            *self = Self { bytes, names };
            true
        })
    }
}

/// The hostnames of all `nodes`, each once, in order; none where `budget` does not hold them or one has no such label.
pub(super) fn hostnames<'a>(nodes: impl IntoIterator<Item = NodeView<'a>>, budget: Budget) -> Option<Vec<String>> {
    let mut room = budget.room();
    let names: Option<Vec<&str>> =
        nodes.into_iter().map(|node| node.hostname().filter(|hostname| room.take(hostname))).collect();
    names.map(in_order)
}

/// As many hostnames as `budget` holds: the best kinds first, nodes that can be used now before others, zones in turn.
pub(super) fn cut<'a>(candidates: impl IntoIterator<Item = &'a Candidate<'a>>, budget: Budget) -> Vec<String> {
    let mut turns: HashMap<_, usize> = HashMap::new();
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let rank = (candidate.kind, candidate.obstacle.is_some());
            let turn = turns.entry((rank, candidate.node.zone())).or_default();
            *turn += 1;
            Some((rank, *turn, candidate.node.hostname()?))
        })
        .collect();
    ranked.sort_unstable();
    let mut room = budget.room();
    in_order(ranked.into_iter().map(|(_, _, hostname)| hostname).take_while(|hostname| room.take(hostname)).collect())
}

/// Sorted, each once: two nodes can have one hostname.
fn in_order(mut names: Vec<&str>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(str::to_owned).collect()
}

/// Hostnames that one list can have.
pub(super) const HOSTNAMES: usize = 100;
/// Bytes of the requirement in all terms together: with the rest of the patch well under 16 KiB.
const REQUIRED_BYTES: usize = 8 << 10;
/// Bytes of the terms that are copied for other ways to be scheduled.
const COPIES_BYTES: usize = 3 << 10;
/// Bytes of the preferred term's hostnames.
const PREFERRED_BYTES: usize = 2 << 10;
/// Bytes of one operation that appends a requirement, besides the hostnames.
const TERM_BYTES: usize = 224;

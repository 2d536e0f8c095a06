//! Pods whose node is already decided: nothing is added, what is missing there is said.

use std::time::Instant;

use super::{
    Placement, Wanted,
    inventory::{Inventory, Kind},
    load_hint::load_hint,
    names,
};
use crate::{
    admission::{decode::Pod, fits::Affinity, note::Note},
    config,
    nodes::Index,
};

/// Where a Pod goes, whatever is decided here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound<'a> {
    /// To this node: by `spec.nodeName`, or by a required `metadata.name`.
    To(&'a str),
    /// To a node that its `DaemonSet` chooses.
    Somewhere,
}

impl<'a> Bound<'a> {
    /// How `pod` is bound, if it is. The kubelet *fails* a bound Pod whose affinity does not match, and the `DaemonSet`
    /// controller takes the first `metadata.name` that it finds in a Pod.
    pub(super) fn of(pod: &'a Pod<'_>, affinity: &'a Affinity<'_>) -> Option<Self> {
        if !pod.spec.node_name.is_empty() {
            return Some(Self::To(&pod.spec.node_name));
        }
        let daemon = || pod.metadata.owner_references.iter().any(|owner| owner.kind == "DaemonSet");
        affinity.bound_to().map(Self::To).or_else(|| daemon().then_some(Self::Somewhere))
    }

    /// Says so where the node lacks what is required. There is nothing to wait for: a gate would be opened.
    pub(super) fn place(self, index: &Index, required: &[&Wanted], config: &config::Place, now: Instant) -> Placement {
        let nothing = Placement { held: true, ..Placement::default() };
        let Self::To(name) = self else { return nothing };
        let Some(node) = index.get(name).filter(|_| !required.is_empty()) else { return nothing };
        let inventory = Inventory::of(index, required, config, now);
        let image = names(&inventory.wanted);
        let text = match inventory.kind(node) {
            Kind::Sure | Kind::Told | Kind::Holder | Kind::Unknown => return nothing,
            Kind::Contested => {
                format!("{name} lists {image}, but may refuse it: its content was pulled by another name")
            }
            Kind::Absent => format!("{name}, its node, lacks {image}: {}", load_hint(Some(node), &inventory.wanted)),
        };
        Placement { notes: vec![inventory.about(Note::attention(text))], ..nothing }
    }
}

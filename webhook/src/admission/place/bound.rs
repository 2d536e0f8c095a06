//! Pods whose node is already decided: nothing is added, what is missing there is said.

use super::{
    inventory::{Inventory, Kind},
    load_hint::load_hint,
    names,
};
use crate::{
    admission::{
        decode::Pod,
        fits::{Affinity, Fit, Needs},
        note::Note,
    },
    nodes::NodeView,
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
    pub(super) fn note(self, inventory: &Inventory<'_>, needs: &Needs<'_>) -> Option<Note> {
        let text = match self {
            Self::To(name) => alone(name, inventory),
            Self::Somewhere => together(inventory, needs),
        };
        Some(inventory.about(Note::attention(text?)))
    }
}

/// What is wrong with the node `name`.
fn alone(name: &str, inventory: &Inventory<'_>) -> Option<String> {
    let node = inventory.index.get(name)?;
    let image = names(&inventory.wanted);
    match inventory.kind(node) {
        Kind::Sure | Kind::Told | Kind::Holder | Kind::Unknown => None,
        Kind::Contested => {
            Some(format!("{name} lists {image}, but may refuse it: its content was pulled by another name"))
        }
        Kind::Absent => Some(format!("{name}, its node, lacks {image}: {}", load_hint(Some(node), &inventory.wanted))),
    }
}

/// Which of the nodes that it can use lack something: a `DaemonSet` has a Pod on each.
fn together(inventory: &Inventory<'_>, needs: &Needs<'_>) -> Option<String> {
    let usable = inventory.index.nodes().filter(|node| !matches!(needs.fit(*node), Fit::Never(_)));
    let lacking: Vec<NodeView<'_>> = usable.filter(|node| inventory.kind(*node) == Kind::Absent).collect();
    let first = *lacking.first()?;
    let named = lacking.iter().take(NODES_NAMED).map(NodeView::name).collect::<Vec<_>>().join(", ");
    let (image, load) = (names(&inventory.wanted), load_hint(Some(first), &inventory.wanted));
    Some(match (lacking.len(), lacking.len().saturating_sub(NODES_NAMED)) {
        (1, _) => format!("{named} lacks {image}: {load}"),
        (_, 0) => format!("{named} lack {image}: {load}"),
        (_, more) => format!("{named} and {more} more lack {image}: {load}"),
    })
}

/// Nodes that a note names.
const NODES_NAMED: usize = 2;

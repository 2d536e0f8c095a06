//! What each node is for one image: the placement's own judgement, for people who ask.

use std::time::Instant;

use serde::Serialize;

use super::{
    Wanted,
    inventory::{Inventory, Kind},
};
use crate::{
    admission::select::PullPolicy,
    config::Config,
    image::Reference,
    nodes::{Index, NodeView},
};

/// What a node is for an image.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Lists it.
    Holder,
    /// `berth load` or `berth loaded` said so, and its list may not yet.
    Told,
    /// Lists it, but the kubelet may refuse it: the same content was pulled under another name.
    Contested,
    /// Its list does not prove that the image is missing.
    Unknown,
    /// Lacks it.
    Absent,
}

impl Standing {
    /// Of all nodes, in the order of their names.
    pub fn of<'a>(index: &'a Index, image: &Reference, now: Instant) -> Vec<(NodeView<'a>, Self)> {
        let about = String::new();
        let wanted = Wanted { about, image: image.clone(), policy: PullPolicy::IfNotPresent, required: true };
        let config = Config::default().place; // who asks is told of lists and loads, not of what is provided
        let inventory = Inventory::of(index, &[&wanted], &config, now);
        let standing = |node| match inventory.kind(node) {
            Kind::Sure | Kind::Holder => Self::Holder,
            Kind::Told => Self::Told,
            Kind::Contested => Self::Contested,
            Kind::Unknown => Self::Unknown,
            Kind::Absent => Self::Absent,
        };
        index.nodes().map(|node| (node, standing(node))).collect()
    }
}

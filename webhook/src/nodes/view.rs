//! One node of the index, and the nodes that list an image.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    images::Holders,
    index::Index,
    names::Interner,
    node::{Node, Taint},
    quantity::Quantity,
};

/// A node, as the index keeps it.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    name: &'a str,
    slot: &'a Slot,
    texts: &'a Interner<str, ()>,
}

impl<'a> NodeView<'a> {
    pub(super) fn new(name: &'a str, slot: &'a Slot, texts: &'a Interner<str, ()>) -> Self {
        Self { name, slot, texts }
    }

    /// The node's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The label `kubernetes.io/hostname`: it can be missing, and differ from the name.
    pub fn hostname(&self) -> Option<&'a str> {
        self.label("kubernetes.io/hostname")
    }

    /// The label `topology.kubernetes.io/zone`.
    pub fn zone(&self) -> Option<&'a str> {
        self.label("topology.kubernetes.io/zone")
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        let key = self.texts.find(key)?;
        let (_, value) = self.slot.labels.iter().find(|(other, _)| *other == key)?;
        Some(self.texts.key(*value))
    }

    /// The taints.
    pub fn taints(&self) -> &'a [Taint] {
        &self.slot.taints
    }

    /// Cordoned.
    pub fn unschedulable(&self) -> bool {
        self.slot.unschedulable
    }

    /// The condition `Ready` is true. It turns false 40 to 55 s after a node has died.
    pub fn ready(&self) -> bool {
        self.slot.ready
    }

    /// Being deleted.
    pub fn deleting(&self) -> bool {
        self.slot.deleting
    }

    /// `amd64`; empty where the kubelet has not said.
    pub fn architecture(&self) -> &'a str {
        self.slot.architecture.map_or("", |text| self.texts.key(text))
    }

    /// What Pods can have of a resource: zero where the node does not name it, as for the scheduler.
    pub fn allocatable(&self, resource: &str) -> Quantity {
        let amount = self.texts.find(resource).and_then(|resource| {
            self.slot.allocatable.iter().find_map(|(other, amount)| (*other == resource).then_some(*amount))
        });
        amount.unwrap_or_default()
    }

    /// `kind://docker/kind/kind-worker`, `k3s://one`, `aws:///eu-west-1a/i-0123`.
    pub fn provider_id(&self) -> Option<&'a str> {
        self.slot.provider_id.as_deref()
    }

    /// What runs the containers.
    pub fn runtime(&self) -> Runtime {
        self.slot.runtime
    }
}

/// What runs the containers of a node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Runtime {
    /// containerd.
    Containerd,
    /// Docker, through cri-dockerd.
    Docker,
    /// CRI-O.
    CriO,
    /// Another, or none that is known yet.
    #[default]
    Other,
}

impl Runtime {
    /// From `nodeInfo.containerRuntimeVersion`: `containerd://2.1.4`.
    fn named(version: &str) -> Self {
        match version.split_once("://").map(|(name, _)| name) {
            Some("containerd") => Self::Containerd,
            Some("docker") => Self::Docker,
            Some("cri-o") => Self::CriO,
            _ => Self::Other,
        }
    }

    /// Whether a tag without a digest of its own repository means that the image did not come by a pull, and a name that
    /// is not listed is absent. CRI-O always shows some digest (cri-o#4673) and looks for short names at several hosts.
    pub(super) fn shows_imports(self) -> bool {
        matches!(self, Self::Containerd | Self::Docker)
    }
}

/// How a node lists an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listing {
    /// The entry has the tag and no digest of its own repository: it came by an import (containerd and docker only).
    pub imported: bool,
    /// The entry also has a digest of another repository: a kubelet since 1.35 may refuse it (KEP-2535).
    pub contested: bool,
}

/// What the index keeps of a node.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The entries of its list, by number, in ascending order; a number twice where the kubelet says one entry twice.
    pub(super) entries: Box<[u32]>,
    /// A keyed hash of the list, to see whether it changed.
    pub(super) print: u64,
    /// The last full list that had it.
    pub(super) round: u32,
    pub(super) runtime: Runtime,
    labels: Box<[(u32, u32)]>,
    allocatable: Box<[(u32, Quantity)]>,
    taints: Box<[Taint]>,
    provider_id: Option<Box<str>>,
    architecture: Option<u32>,
    unschedulable: bool,
    ready: bool,
    deleting: bool,
    /// The kubelet remembers by which name it pulled: since 1.35.
    remembers_pulls: bool,
}

impl Slot {
    /// Takes over all but the images.
    pub(super) fn describe(&mut self, node: &Node, texts: &mut Interner<str, ()>) {
        self.forget(texts);
        let mut hold = |text: &str| texts.hold(text, || ());
        let Node { metadata, spec, status } = node;
        self.labels = metadata.labels.iter().flatten().map(|(key, value)| (hold(key), hold(value))).collect();
        self.architecture = Some(status.node_info.architecture.as_str()).filter(|name| !name.is_empty()).map(&mut hold);
        let amount = |(name, amount): (&String, &String)| Some((hold(name), amount.parse().ok()?));
        self.allocatable = status.allocatable.iter().filter_map(amount).collect();
        self.taints = spec.taints.clone().into();
        self.provider_id = spec.provider_id.as_deref().map(Into::into);
        self.unschedulable = spec.unschedulable;
        self.ready = status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True");
        self.deleting = metadata.deletion_timestamp.is_some();
        self.runtime = Runtime::named(&status.node_info.container_runtime_version);
        self.remembers_pulls = remembers_pulls(&status.node_info.kubelet_version);
    }

    /// Lets go of the texts.
    pub(super) fn forget(&mut self, texts: &mut Interner<str, ()>) {
        let labels = std::mem::take(&mut self.labels).into_iter().flat_map(|(key, value)| [key, value]);
        let resources = std::mem::take(&mut self.allocatable).into_iter().map(|(name, _)| name);
        for text in labels.chain(resources).chain(self.architecture.take()) {
            texts.release(text);
        }
    }

    /// Whether what is not in the node's list is not on the node.
    pub(super) fn proves_absence(&self, node: &Node, list_limit: usize) -> bool {
        let images = &node.status.images;
        let whole = !images.is_empty() && images.len() < list_limit;
        whole && self.runtime.shows_imports() && images.iter().all(|image| image.names.len() < NAMES_LIMIT)
    }
}

/// Whether a kubelet of this version (`v1.36.3`, `v1.33.7+k3s1`) remembers by which name it pulled an image.
fn remembers_pulls(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (1, 35),
        _ => false,
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
        let listing = Listing { imported: rest.imported, contested: rest.foreign && node.slot.remembers_pulls };
        self.heads.extend(Head::first(self.index, rest));
        Some((node, listing))
    }
}

impl<'a> Iterator for Listed<'a> {
    type Item = (NodeView<'a>, Listing);

    fn next(&mut self) -> Option<Self::Item> {
        let (node, mut listing) = self.pop()?;
        // No runtime has one name twice, but a kubelet can say so: then the doubts add up.
        while self.heads.peek().is_some_and(|head| head.node.name == node.name) {
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
        other.node.name.cmp(self.node.name)
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

/// Names of an entry at which the kubelet cuts. Source: `MaxNamesPerImageInNodeStatus`.
const NAMES_LIMIT: usize = 5;

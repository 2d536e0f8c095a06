//! One node of the index.

use super::{
    facts::{Facts, Runtime},
    names::Interner,
    node::Taint,
    quantity::Quantity,
};

/// A node, as the index keeps it.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    name: &'a str,
    facts: &'a Facts,
    texts: &'a Interner<str, ()>,
}

impl<'a> NodeView<'a> {
    pub(super) fn new(name: &'a str, facts: &'a Facts, texts: &'a Interner<str, ()>) -> Self {
        Self { name, facts, texts }
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
        let (_, value) = self.facts.labels.iter().find(|(other, _)| *other == key)?;
        Some(self.texts.key(*value))
    }

    /// The taints.
    pub fn taints(&self) -> &'a [Taint] {
        &self.facts.taints
    }

    /// Cordoned.
    pub fn unschedulable(&self) -> bool {
        self.facts.unschedulable
    }

    /// The condition `Ready` is true. It turns false 40 to 55 s after a node has died.
    pub fn ready(&self) -> bool {
        self.facts.ready
    }

    /// Being deleted.
    pub fn deleting(&self) -> bool {
        self.facts.deleting
    }

    /// `amd64`; empty where the kubelet has not said.
    pub fn architecture(&self) -> &'a str {
        self.facts.architecture.map_or("", |text| self.texts.key(text))
    }

    /// What Pods can have of a resource: zero where the node does not name it, as for the scheduler.
    pub fn allocatable(&self, resource: &str) -> Quantity {
        let amount = self.texts.find(resource).and_then(|resource| {
            self.facts.allocatable.iter().find_map(|(other, amount)| (*other == resource).then_some(*amount))
        });
        amount.unwrap_or_default()
    }

    /// `kind://docker/kind/kind-worker`, `k3s://one`, `aws:///eu-west-1a/i-0123`.
    pub fn provider_id(&self) -> Option<&'a str> {
        self.facts.provider_id.as_deref()
    }

    /// What runs the containers.
    pub fn runtime(&self) -> Runtime {
        self.facts.runtime
    }

    /// The kubelet remembers by which name it pulled an image, and may refuse it under another: since 1.35 (KEP-2535).
    pub fn remembers_pulls(&self) -> bool {
        self.facts.remembers_pulls
    }
}

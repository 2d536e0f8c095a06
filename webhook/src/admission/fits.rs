//! Which nodes a Pod can use, as the scheduler would judge, as far as Berth knows.

mod affinity;
mod meets;
mod requests;
mod tolerations;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde_json::value::RawValue;

pub use affinity::{Affinity, Expression, HOSTNAME, NodeAffinity, Operator, Term};

use self::{requests::Requests, tolerations::Toleration};
use super::decode::{Pod, Spec};
use crate::nodes::{
    NodeView,
    node::{Effect, Taint},
};

/// What a Pod asks of its node.
#[derive(Debug)]
pub struct Needs<'a> {
    selector: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    affinity: Affinity<'a>,
    tolerations: Vec<Toleration<'a>>,
    requests: Requests,
}

/// Whether a Pod can use a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fit<'a> {
    /// It can.
    Now,
    /// Not now: the node may recover by itself or by its administrator.
    NotNow(Obstacle<'a>),
    /// Not unless the Pod or the node is made differently.
    Never(Obstacle<'a>),
}

/// What keeps a Pod from a node; reads as in "worker-1 (is cordoned)".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Obstacle<'a> {
    /// The node is being deleted.
    Deleting,
    /// Its kubelet does not say that it is ready.
    NotReady,
    /// `spec.unschedulable`.
    Cordoned,
    /// A taint that the Pod does not tolerate.
    Taint(&'a str),
    /// The Pod's `nodeSelector`.
    Selector,
    /// The Pod's required node affinity.
    Affinity,
    /// The node lists no such device, which does not prove that the Pod gets none there.
    Unlisted(&'a str),
    /// The node has less of this resource than the Pod asks for.
    Resource(&'a str),
}

impl<'a> Needs<'a> {
    /// Reads what `pod` asks for.
    ///
    /// # Errors
    /// A part of the Pod has another shape than the API's. The API server refuses such a Pod itself.
    pub fn of(pod: &Pod<'a>) -> serde_json::Result<Self> {
        let Spec { node_selector, affinity, tolerations, .. } = &pod.spec;
        Ok(Self {
            selector: parse(*node_selector)?,
            affinity: Affinity::parse(*affinity)?.unwrap_or_default(),
            tolerations: parse(*tolerations)?,
            requests: Requests::of(&pod.spec),
        })
    }

    /// The Pod's own affinity.
    pub fn affinity(&self) -> &Affinity<'a> {
        &self.affinity
    }

    /// Whether the Pod can use `node`.
    pub fn fit<'n>(&'n self, node: NodeView<'n>) -> Fit<'n> {
        match self.lasting(node) {
            Some(obstacle) => Fit::Never(obstacle),
            None => self.passing(node).map_or(Fit::Now, Fit::NotNow),
        }
    }

    /// What will not go away by itself.
    fn lasting<'n>(&'n self, node: NodeView<'n>) -> Option<Obstacle<'n>> {
        let label = |key: &str| node.label(key);
        if !self.selector.iter().all(|(key, value)| label(key) == Some(value.as_ref())) {
            return Some(Obstacle::Selector);
        }
        if !self.affinity.admits(node.name(), label) {
            return Some(Obstacle::Affinity);
        }
        if let Some(taint) = self.repelled_by(node).find(|taint| !is_condition(&taint.key)) {
            return Some(Obstacle::Taint(&taint.key));
        }
        self.requests.beyond(|resource| node.allocatable(resource)).map(Obstacle::Resource)
    }

    /// What may be gone in a minute.
    fn passing<'n>(&'n self, node: NodeView<'n>) -> Option<Obstacle<'n>> {
        if node.deleting() {
            return Some(Obstacle::Deleting);
        }
        if !node.ready() {
            return Some(Obstacle::NotReady);
        }
        // The scheduler treats the field as this taint, which the node controller adds a moment later.
        let cordon = Taint { key: CORDON.to_owned(), value: String::new(), effect: Effect::NoSchedule };
        if node.unschedulable() && !self.tolerates(&cordon) {
            return Some(Obstacle::Cordoned);
        }
        match self.repelled_by(node).next() {
            Some(taint) if taint.key == CORDON => Some(Obstacle::Cordoned),
            Some(taint) => Some(Obstacle::Taint(&taint.key)),
            None => self.requests.unlisted(|resource| node.allocatable(resource)).map(Obstacle::Unlisted),
        }
    }

    fn repelled_by<'n>(&'n self, node: NodeView<'n>) -> impl Iterator<Item = &'n Taint> {
        let repels = |taint: &&Taint| matches!(taint.effect, Effect::NoSchedule | Effect::NoExecute);
        node.taints().iter().filter(repels).filter(|taint| !self.tolerates(taint))
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }
}

impl fmt::Display for Obstacle<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleting => formatter.write_str("is being deleted"),
            Self::NotReady => formatter.write_str("is not ready"),
            Self::Cordoned => formatter.write_str("is cordoned"),
            Self::Taint(key) => write!(formatter, "has the taint {key}"),
            Self::Selector => formatter.write_str("does not match the Pod's nodeSelector"),
            Self::Affinity => formatter.write_str("does not match the Pod's affinity"),
            Self::Unlisted(name) => write!(formatter, "lists no {name}"),
            Self::Resource(name) => write!(formatter, "has too little {name}"),
        }
    }
}

/// `null` and missing are empty.
fn parse<'a, T: serde::Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> serde_json::Result<T> {
    raw.map_or(Ok(None), |raw| serde_json::from_str(raw.get())).map(Option::unwrap_or_default)
}

/// Taints that Kubernetes itself adds and takes away with a condition of the node.
fn is_condition(key: &str) -> bool {
    key.starts_with("node.kubernetes.io/") || key.starts_with("node.cloudprovider.kubernetes.io/")
}

/// The taint of a cordoned node.
const CORDON: &str = "node.kubernetes.io/unschedulable";

#[cfg(test)]
mod tests;

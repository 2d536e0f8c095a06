//! One Pod that Berth placed: how long it cannot be scheduled, where it could be, and what helps.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

use super::rounds::Rounds;
use crate::{
    admission::{
        gated::Scene,
        place::Requirement,
        stranded::{Outlook, Stranded, gate, outlook, unplaced},
    },
    config,
    events::PodRef,
};

/// A Pod that was placed and is not bound, as it was seen last.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) who: PodRef,
    pub(super) version: String,
    pub(super) created: Option<Timestamp>,
    pub(super) requirement: Requirement,
    /// When its condition became what it is, where that says that the scheduler finds no node.
    unschedulable: Option<Timestamp>,
    /// The Pod as if it was gated.
    text: String,
    /// Since when that is known here.
    known: Option<Instant>,
    said: String,
    doomed: bool,
    paused: Option<Instant>,
}

/// What helps a stuck Pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// It is deleted.
    Delete,
    /// Somebody may delete it.
    ByHand,
    /// It has no owner that makes it again.
    Alone,
    /// Its Job counts deleted Pods as failed. Source: `k8s.io/kubernetes/pkg/controller/job`, `isPodFailed`.
    Job,
    /// That was tried: it was made again just like that.
    Tried,
    /// Its image has to be loaded.
    Load,
}

impl Placed {
    /// `object`, where Berth placed it and how can still be told.
    pub(super) fn of(object: &DynamicObject) -> Option<Self> {
        let metadata = &object.metadata;
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        let mut whole = serde_json::to_value(object).ok()?;
        whole.pointer_mut("/metadata")?.as_object_mut()?.remove("managedFields"); // long, and of no use here
        let unschedulable = unschedulable(&whole);
        gate(&mut whole)?;
        let text = whole.to_string();
        let requirement = unplaced(&mut whole)?;
        Some(Self {
            who: PodRef::of(metadata)?,
            version: metadata.resource_version.clone()?,
            created: metadata.creation_timestamp.as_ref().map(|created| created.0),
            requirement,
            unschedulable,
            text,
            known: None,
            said: String::new(),
            doomed: false,
            paused: None,
        })
    }

    /// The same Pod, with what is known from `before` it changed.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        let Some(Self { known, said, doomed, paused, unschedulable, .. }) = before else { return self };
        let known = known.filter(|_| unschedulable == self.unschedulable);
        Self { known, said, doomed, paused, ..self }
    }

    /// Whether the scheduler has found no node for it for as long as `limit`.
    ///
    /// By our clock alone: a Pod that was gated, by whomever, carries the time of its creation in the condition.
    ///
    /// # Source
    /// `k8s.io/kubernetes/pkg/api/v1/pod`, `UpdatePodCondition`: the time stays while the status does.
    pub(super) fn is_overdue(&mut self, limit: Duration, now: Instant) -> bool {
        if self.unschedulable.is_none() {
            return false;
        }
        now.saturating_duration_since(*self.known.get_or_insert(now)) >= limit
    }

    /// Where it could be; none where that is where it was placed.
    pub(super) fn outlook(&self, scene: Scene<'_>) -> Option<Outlook> {
        let mut free = serde_json::from_str(&self.text).ok()?;
        unplaced(&mut free)?;
        let free = free.to_string();
        let (held, free) = (serde_json::from_str(&self.text).ok()?, serde_json::from_str(&free).ok()?);
        let pod = Stranded { held: &held, free: &free, requirement: &self.requirement };
        outlook(pod, &self.who.namespace, scene)
    }

    /// What helps, by the administrator's wish.
    pub(super) fn remedy(&mut self, outlook: &Outlook, wish: config::Stuck, rounds: &Rounds) -> Remedy {
        let owner = self.who.owner.as_ref().map(|owner| (owner.api_version.as_str(), owner.kind.as_str()));
        let remedy = match (outlook, owner, wish) {
            (Outlook::Nowhere(_), ..) => Remedy::Load,
            (_, Some(("batch/v1", "Job")), _) => Remedy::Job,
            (_, Some(owner), config::Stuck::Delete) if REMAKERS.contains(&owner) => {
                if rounds.tried(self) {
                    Remedy::Tried
                } else {
                    Remedy::Delete
                }
            }
            (_, Some(owner), _) if REMAKERS.contains(&owner) => Remedy::ByHand,
            _ => Remedy::Alone,
        };
        self.doomed = remedy == Remedy::Delete;
        remedy
    }

    /// What is wrong with it.
    pub(super) fn words(&self, outlook: &Outlook) -> String {
        let place = match &self.requirement {
            Requirement::In(names) if names.len() <= NAMED => format!(" on {}", names.join(" or ")),
            Requirement::In(_) | Requirement::NotIn(_) => String::new(),
        };
        match outlook {
            Outlook::Elsewhere(nodes) => {
                let have = if nodes.len() == 1 { "has" } else { "have" };
                format!("cannot be scheduled{place}, where it was placed, while {} {have} its image", nodes.join(", "))
            }
            Outlook::Nowhere(why) => format!("cannot be scheduled{place}, where it was placed, and {why}"),
        }
    }

    /// Whether `note` is another than the last one.
    pub(super) fn is_news(&mut self, note: &str) -> bool {
        let new = self.said != note;
        note.clone_into(&mut self.said);
        new
    }

    /// It is to be deleted, by whichever controller comes first.
    pub(super) fn is_doomed(&self) -> bool {
        self.doomed
    }

    /// It may be tried to delete it.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.paused.is_none_or(|until| now >= until)
    }

    /// It could not be deleted.
    pub(super) fn pause_until(&mut self, until: Instant) {
        self.paused = Some(until);
    }
}

impl Remedy {
    /// In words.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Delete => "it is deleted, so that its owner makes it again",
            Self::ByHand => "delete it, so that its owner makes it again, or set `place.stuck: delete`",
            Self::Alone => "delete it and create it again",
            Self::Job => "delete it, which its Job counts as a failure, or load its image where it was placed",
            Self::Tried => {
                "its owner made it again just like that, so it is not deleted once more; is the webhook called?"
            }
            Self::Load => "it stays until that has changed",
        }
    }
}

/// When the condition of the Pod became what it is, where that says that the scheduler finds no node.
fn unschedulable(pod: &Value) -> Option<Timestamp> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let is = |condition: &&Value| {
        let has = |key: &str, value: &str| condition.get(key).is_some_and(|found| found == value);
        has("type", "PodScheduled") && has("status", "False") && has("reason", "Unschedulable")
    };
    conditions.iter().find(is)?.get("lastTransitionTime")?.as_str()?.parse().ok()
}

/// Owners that make a deleted Pod again, and hold nothing against it.
const REMAKERS: [(&str, &str); 3] =
    [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("v1", "ReplicationController")];
/// Nodes that are named.
const NAMED: usize = 2;

//! **place** — node affinity for the nodes that hold what cannot be pulled.
//!
//! *Proof before force*: a requirement is written only where the Pod could not run elsewhere; all else is a preference.
//! The work is bounded by the nodes that list an image and by the cap, not by the size of the cluster.

mod bound;
mod cut;
mod inventory;
mod load_hint;
mod missing;
mod newest;
mod prefer;
mod provided;
mod reach;
mod require;
mod standing;

use std::{borrow::Cow, time::Instant};

use serde::Deserialize;

pub use self::standing::Standing;
use self::{bound::Bound, cut::Alternatives, inventory::Inventory, reach::Reach};
use super::{
    decode::Pod,
    fits::{HOSTNAME, Needs, Operator, Term},
    note::Note,
    select::PullPolicy,
};
use crate::{
    config::{self, Newest, OnMissing, Selector},
    image::Reference,
    nodes::Index,
    telemetry::outcome,
};

/// An image that decides where its Pod can run.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The container's or volume's name, for notes.
    pub about: String,
    /// The image.
    pub image: Reference,
    /// As it will be written into the Pod.
    pub policy: PullPolicy,
    /// The Pod could run nowhere else: required affinity, and `onMissing` where nobody has it.
    /// Otherwise a preference for the nodes that list it, and nothing where nobody does.
    pub required: bool,
}

/// What is known besides the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The controller's heartbeat is fresh: a gate will be opened.
    pub controller_alive: bool,
    /// The Pod is being created and may be gated (never in templates, ephemeral containers, or for the controller).
    pub may_gate: bool,
    /// When the decision is made, against `place.maxStale`.
    pub now: Instant,
}

/// What placing does to a Pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Placement {
    /// One requirement on `kubernetes.io/hostname` to append to every term.
    pub required: Option<Requirement>,
    /// Instead of `required`, or where that stands another way to be scheduled: labels of the nodes, one set or another.
    pub provided: Vec<Selector>,
    /// Hostname labels to prefer, by one preferred term.
    pub preferred: Vec<String>,
    /// Labels to prefer, by a preferred term for each set.
    pub preferred_labels: Vec<Selector>,
    /// Add the scheduling gate; where it is there already, wait on.
    pub gate: bool,
    /// Refuse the Pod, for this reason.
    pub deny: Option<String>,
    /// What people should know.
    pub notes: Vec<Note>,
    /// Some node that the Pod can use, as far as is known, lists all that is required, and it can be held to such nodes: a
    /// gate can be lifted.
    pub held: bool,
}

/// `kubernetes.io/hostname In […]` or `NotIn […]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Requirement {
    /// One of these hostname labels.
    In(Vec<String>),
    /// None of these hostname labels.
    NotIn(Vec<String>),
}

impl Placement {
    /// What was done, for the metrics; none where there was nothing to do.
    pub fn outcome(&self) -> Option<outcome::Place> {
        match self {
            Self { deny: Some(_), .. } => Some(outcome::Place::Denied),
            Self { gate: true, .. } => Some(outcome::Place::Gated),
            _ if self.requires() => Some(outcome::Place::Required),
            _ if self.prefers() => Some(outcome::Place::Preferred),
            Self { notes, .. } if !notes.is_empty() => Some(outcome::Place::Noted),
            Self { .. } => None,
        }
    }

    /// Only something to say.
    fn noted(note: Note) -> Self {
        Self { notes: vec![note], ..Self::default() }
    }

    /// Whether the Pod is held to some nodes.
    pub fn requires(&self) -> bool {
        self.required.is_some() || !self.provided.is_empty()
    }

    /// Whether some nodes are preferred.
    pub fn prefers(&self) -> bool {
        !self.preferred.is_empty() || !self.preferred_labels.is_empty()
    }

    /// Whether the Pod stays as it is.
    pub fn changes_nothing(&self) -> bool {
        !self.requires() && !self.prefers() && !self.gate && self.deny.is_none()
    }
}

impl Requirement {
    /// Whether `term` already allows no other hostnames than this.
    pub fn stands_in(&self, term: &Term<'_>) -> bool {
        term.expressions().iter().filter(|expression| expression.key == HOSTNAME).any(|expression| {
            let lists = |name: &String| expression.values().iter().any(|value| value == name);
            let within =
                |names: &[String]| expression.values().iter().all(|value| names.iter().any(|name| name == value));
            match (self, expression.operator) {
                (Self::In(names), Operator::In) => !expression.values().is_empty() && within(names),
                (Self::NotIn(names), Operator::NotIn) => names.iter().all(lists),
                (Self::NotIn(names), Operator::In) => !expression.values().is_empty() && !names.iter().any(lists),
                _ => false,
            }
        })
    }
}

/// Decides where `pod` can run, by what the nodes list. `index` is none without a cluster, or before its first news.
///
/// Placing the result again changes nothing, as long as the nodes list the same.
pub fn place(
    pod: &Pod<'_>,
    wanted: &[Wanted],
    index: Option<&Index>,
    config: &config::Place,
    circumstances: Circumstances,
) -> Placement {
    let now = circumstances.now;
    let (required, optional): (Vec<&Wanted>, Vec<&Wanted>) = wanted.iter().partition(|wanted| wanted.required);
    let Some(index) = index else {
        return Placement {
            notes: required.first().map(|first| blind(first, NO_NODE)).into_iter().collect(),
            ..Placement::default()
        };
    };
    let Ok(needs) = Needs::of(pod) else {
        return Placement::noted(Note::attention("the nodes it needs cannot be read: it was not placed"));
    };
    let blindness = blindness(index, config, now);
    if let Some(bound) = Bound::of(pod, needs.affinity()) {
        let speaks = !required.is_empty() && (bound != Bound::Somewhere || blindness.is_none());
        let notes = speaks.then(|| bound.note(&Inventory::of(index, &required, config, now), &needs)).flatten();
        return Placement { held: true, notes: notes.into_iter().collect(), ..Placement::default() };
    }
    if required.is_empty() || blindness.is_some() {
        let all = Inventory::of(index, &wanted.iter().collect::<Vec<_>>(), config, now);
        let mut placement = prefer::only(&all, &needs, if blindness.is_some() { Newest::Off } else { config.newest });
        placement.notes.extend(required.first().zip(blindness).map(|(first, cause)| blind(first, cause)));
        return placement;
    }
    let inventory = Inventory::of(index, &required, config, now);
    let mut reach = Reach::of(&inventory, &needs, config.strategy);
    if reach.is_nobody() {
        return missing::place(pod, &inventory, &needs, config.on_missing, circumstances);
    }
    let doubt = newest::narrow(&mut reach, config.newest);
    let waits = config.on_missing == OnMissing::Wait && is_gated(pod);
    let (mut placement, confined) = require::place(&reach, config.newest, Alternatives::of(pod, &needs), waits);
    placement.notes.extend(doubt.filter(|_| !reach.is_settled()));
    prefer::add(&mut placement, confined, &reach, &Inventory::of(index, &optional, config, now));
    placement
}

/// Why nothing may rest on the lists of `index`, if so.
pub fn blindness(index: &Index, config: &config::Place, now: Instant) -> Option<&'static str> {
    let stale = now.saturating_duration_since(index.heard()) > config.max_stale;
    if index.is_empty() { Some(NO_NODE) } else { stale.then_some(NO_NEWS) }
}

/// Whether `pod` waits behind Berth's gate.
pub fn is_gated(pod: &Pod<'_>) -> bool {
    let gates = pod.spec.scheduling_gates.and_then(|raw| Option::<Vec<Gate<'_>>>::deserialize(raw).ok().flatten());
    gates.is_some_and(|gates| gates.iter().any(|gate| gate.name == GATE))
}

/// One of `spec.schedulingGates`.
#[derive(Deserialize)]
struct Gate<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// The names of `wanted`, as in a sentence.
fn names(wanted: &[&Wanted]) -> String {
    let mut names: Vec<&str> = wanted.iter().map(|wanted| wanted.image.as_str()).collect();
    names.dedup();
    names.join(" and ")
}

/// No requirement may rest on lists that are not there, or too old.
fn blind(first: &Wanted, cause: &str) -> Note {
    let text = format!("not placed, since {cause}: it may start where {} is missing", first.image);
    Note::attention(text).about(&first.about)
}

const NO_NODE: &str = "no node is known";
const NO_NEWS: &str = "there is no recent news of the nodes";
/// The scheduling gate of a Pod whose image no node has.
pub const GATE: &str = "berth.dev/image-on-node";
/// The label of gated Pods, by which the controller watches.
pub const GATED_LABEL: &str = "berth.dev/gated";
/// The label of Pods that may go only where Berth says: the controller looks after them until they are bound.
pub const PLACED_LABEL: &str = "berth.dev/placed";
/// How a note begins that says why a Pod is gated.
pub const WAITS: &str = "waits, since";
/// How a note begins that says how that came to an end.
pub const WAITED: &str = "waited";

#[cfg(test)]
mod tests;

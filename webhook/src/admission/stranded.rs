//! What has become of a Pod that was placed and cannot be scheduled there: the decision again, without what it led to.

use serde_json::{Value, json};

use super::{
    decode::Pod,
    fits::{Affinity, Fit, HOSTNAME, Needs, Operator, Term},
    gated::{Fate, Scene, fate, wanted_by},
    note::Note,
    place::{GATE, Placement, Requirement, WAITS},
};
use crate::{image::Reference, nodes::NodeView};

/// Where a stranded Pod could be by now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outlook {
    /// On these nodes, which it could use at once and which its requirement does not allow.
    Elsewhere(Vec<String>),
    /// Nowhere else, for this reason: its image is gone, or its nodes are.
    Nowhere(String),
}

/// A Pod that was placed, in two forms, both gated.
#[derive(Clone, Copy, Debug)]
pub struct Stranded<'a> {
    /// As it is.
    pub held: &'a Pod<'a>,
    /// As [`unplaced`] makes it.
    pub free: &'a Pod<'a>,
    /// By which it was placed.
    pub requirement: &'a Requirement,
}

/// The outlook of `pod`; none where nothing has changed, or nothing is known.
pub fn outlook(pod: Stranded<'_>, namespace: &str, scene: Scene<'_>) -> Option<Outlook> {
    let nowhere = |notes: Vec<Note>| {
        let note = notes.into_iter().find(|note| note.attention)?;
        Some(Outlook::Nowhere(note.text.trim_start_matches(WAITS).trim_start().to_owned()))
    };
    match fate(pod.free, namespace, scene) {
        Fate::Go(placement) if placement.held => {
            let better = elsewhere(pod, &placement, namespace, scene).or_else(|| nowhere(placement.notes));
            better.or_else(|| nowhere(remains(pod, namespace, scene)))
        }
        // Nodes that cannot tell are no better than those where it may go, as long as one of these may have what it needs.
        Fate::Doubt(_) => nowhere(remains(pod, namespace, scene)),
        Fate::Wait(notes) => nowhere(notes),
        Fate::Go(_) => None,
    }
}

/// What is to be said of the nodes where it may go.
fn remains(pod: Stranded<'_>, namespace: &str, scene: Scene<'_>) -> Vec<Note> {
    match fate(pod.held, namespace, scene) {
        Fate::Go(Placement { notes, .. }) | Fate::Doubt(Placement { notes, .. }) | Fate::Wait(notes) => notes,
    }
}

/// The nodes that it could use at once and where it may not go, where by now it would be placed as `placement` says.
fn elsewhere(pod: Stranded<'_>, placement: &Placement, namespace: &str, scene: Scene<'_>) -> Option<Outlook> {
    let needs = Needs::of(pod.free).ok()?;
    let wanted = wanted_by(pod.free, namespace, scene);
    let better = |node: &NodeView<'_>| {
        let new = |hostname| placement.required.as_ref().is_none_or(|new| allows(new, hostname));
        let other = node.hostname().is_some_and(|hostname| !allows(pod.requirement, hostname) && new(hostname));
        other && needs.fit(*node) == Fit::Now
    };
    let nodes = listing(&wanted, scene).filter(better).map(|node| node.name().to_owned()).take(NAMED);
    let nodes: Vec<_> = nodes.collect();
    (!nodes.is_empty()).then_some(Outlook::Elsewhere(nodes))
}

/// The nodes that list all of `wanted`: what is only said of a node, or cannot be told, is no reason to act.
fn listing<'a>(wanted: &'a [Reference], scene: Scene<'a>) -> impl Iterator<Item = NodeView<'a>> {
    let (first, rest) = wanted.split_first().unzip();
    let nodes = first.into_iter().flat_map(move |image| scene.index.listed(image)).map(|(node, _)| node);
    let lists =
        move |node: &NodeView<'_>, image| scene.index.listed(image).any(|(other, _)| other.name() == node.name());
    nodes.filter(move |node| rest.into_iter().flatten().all(|image| lists(node, image)))
}

/// Makes of a placed Pod what it was before, gated, and returns the requirement by which it was placed. None where that
/// cannot be told from what its owner wrote.
///
/// It was appended to every term, but for those that were narrower already. Where a term allows nodes by labels that
/// provide the image, nothing can be told.
pub fn unplaced(pod: &mut Value) -> Option<Requirement> {
    let text = pod.to_string();
    let decoded: Pod<'_> = serde_json::from_str(&text).ok()?;
    let affinity = Affinity::parse(decoded.spec.affinity).ok().flatten()?;
    let terms = affinity.required()?;
    let open = || terms.iter().filter(|term| !term.is_empty());
    let mut candidates = open().filter_map(|term| last(term).map(|(_, requirement)| requirement));
    let requirement = candidates.find(|candidate| open().all(|term| candidate.stands_in(term)))?;
    let ours: Vec<_> = terms.iter().map(|term| last(term).filter(|(_, found)| *found == requirement)).collect();
    for (number, place) in ours.into_iter().enumerate().filter_map(|(number, ours)| Some((number, ours?.0))) {
        let expressions =
            pod.pointer_mut(&format!("{TERMS}/{number}/matchExpressions")).and_then(Value::as_array_mut)?;
        expressions.remove(place);
    }
    let terms = pod.pointer_mut(TERMS).and_then(Value::as_array_mut)?;
    let is_empty = |term: &Value| ["matchExpressions", "matchFields"].iter().all(|part| is_nothing(term.get(part)));
    if terms.iter().all(is_empty) {
        pod.pointer_mut("/spec/affinity/nodeAffinity")?.as_object_mut()?.remove(REQUIRED);
    }
    gate(pod)?;
    Some(requirement)
}

/// Makes of a Pod one that waits.
pub fn gate(pod: &mut Value) -> Option<()> {
    pod.pointer_mut("/spec")?.as_object_mut()?.insert("schedulingGates".to_owned(), json!([{ "name": GATE }]));
    Some(())
}

/// The last requirement on the hostname in `term`, and its place.
fn last(term: &Term<'_>) -> Option<(usize, Requirement)> {
    let mut hostnames =
        term.expressions().iter().enumerate().rev().filter(|(_, expression)| expression.key == HOSTNAME);
    hostnames.find_map(|(place, expression)| {
        let values = expression.values().iter().map(|value| value.clone().into_owned()).collect();
        match expression.operator {
            Operator::In => Some((place, Requirement::In(values))),
            Operator::NotIn => Some((place, Requirement::NotIn(values))),
            _ => None,
        }
    })
}

fn is_nothing(part: Option<&Value>) -> bool {
    part.and_then(Value::as_array).is_none_or(Vec::is_empty)
}

fn allows(requirement: &Requirement, hostname: &str) -> bool {
    match requirement {
        Requirement::In(names) => names.iter().any(|name| name == hostname),
        Requirement::NotIn(names) => names.iter().all(|name| name != hostname),
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const TERMS: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
/// Nodes that are named, or counted.
const NAMED: usize = 3;

#[cfg(test)]
mod tests;

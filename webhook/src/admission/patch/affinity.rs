//! Placement as patch operations: parents first, nothing overwritten, every term of the user's narrowed.

use json_patch::{AddOperation, PatchOperation};
use jsonptr::{Pointer, PointerBuf};
use serde_json::{Value, json, value::RawValue};

use crate::{
    admission::{
        decode::Pod,
        fits::{Affinity, HOSTNAME, NodeAffinity, Term},
        place::{GATE, GATED_LABEL, PLACED_LABEL, Placement, Requirement, is_gated},
    },
    config::{LabelRequirement, Selector},
};

/// The operations that give `pod` the affinity and the gate of `placement`. They apply to a Pod that was just created and
/// to a gated one: there the API server accepts requirements that are appended to existing terms, and nothing else.
///
/// An affinity that cannot be read is left alone.
pub fn operations(pod: &Pod<'_>, placement: &Placement) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    let has_affinity = placement.requires() || placement.prefers();
    if let Some(affinity) = Affinity::parse(pod.spec.affinity).ok().filter(|_| has_affinity) {
        operations = merge(pod, affinity.as_ref(), placement);
    }
    if placement.gate {
        operations.extend(gate(pod));
    }
    operations
}

/// The labels, `true`, by which the controller watches: of a Pod that is gated, and of one that may go only where
/// [`operations`] say.
pub fn labels(pod: &Pod<'_>, placement: &Placement) -> impl Iterator<Item = &'static str> {
    let required = placement.requires() && Affinity::parse(pod.spec.affinity).is_ok();
    let gated = placement.gate.then_some(GATED_LABEL);
    gated.into_iter().chain(required.then_some(PLACED_LABEL))
}

/// What is required goes into every term, since any one of them is enough: a term of its own would widen what the user
/// wrote. So another way to be scheduled is a copy of every term, with that instead.
fn merge(pod: &Pod<'_>, affinity: Option<&Affinity<'_>>, placement: &Placement) -> Vec<PatchOperation> {
    let Some(affinity) = affinity else {
        return vec![add(path(AFFINITY), json!({ "nodeAffinity": node_affinity(placement) }))];
    };
    let Some(present) = &affinity.node_affinity else {
        return vec![add(path(NODE_AFFINITY), node_affinity(placement))];
    };
    let mut operations = require(pod, present, &Way::of(placement));
    operations.extend(prefer(affinity, present, placement));
    operations
}

/// A whole `nodeAffinity`, where there is none.
fn node_affinity(placement: &Placement) -> Value {
    let mut whole = serde_json::Map::new();
    if placement.requires() {
        whole.insert(REQUIRED.to_owned(), terms(&Way::of(placement)));
    }
    if placement.prefers() {
        whole.insert(PREFERRED.to_owned(), preferences(placement).collect());
    }
    Value::Object(whole)
}

fn require(pod: &Pod<'_>, present: &NodeAffinity<'_>, ways: &[Way<'_>]) -> Vec<PatchOperation> {
    let Some((first, others)) = ways.split_first() else { return Vec::new() };
    let required = Pointer::from_static(NODE_AFFINITY).with_trailing_token(REQUIRED);
    let Some(selector) = &present.required else { return vec![add(required, terms(ways))] };
    let all = required.with_trailing_token("nodeSelectorTerms");
    let mut operations = Vec::new();
    for (number, term) in selector.terms().iter().enumerate() {
        if term.is_empty() || ways.iter().any(|way| way.stands_in(term)) {
            continue;
        }
        let copies = others.iter().filter_map(|way| Some(add(all.with_trailing_token("-"), copy(pod, number, way)?)));
        let expressions = all.with_trailing_token(number).with_trailing_token("matchExpressions");
        operations.extend(copies);
        if term.match_expressions.is_some() {
            let end = expressions.with_trailing_token("-");
            operations.extend(first.expressions().map(|expression| add(end.clone(), expression)));
        } else {
            operations.push(add(expressions, first.expressions().collect()));
        }
    }
    operations
}

/// The user's term of this number, whole, and what `way` requires.
fn copy(pod: &Pod<'_>, number: usize, way: &Way<'_>) -> Option<Value> {
    let affinity: Value = serde_json::from_str(pod.spec.affinity?.get()).ok()?;
    let mut term = affinity.get("nodeAffinity")?.get(REQUIRED)?.get("nodeSelectorTerms")?.get(number)?.clone();
    let expressions = term.as_object_mut()?.entry("matchExpressions").or_insert(Value::Null);
    if expressions.is_null() {
        *expressions = json!([]);
    }
    expressions.as_array_mut()?.extend(way.expressions());
    Some(term)
}

fn prefer(affinity: &Affinity<'_>, present: &NodeAffinity<'_>, placement: &Placement) -> Vec<PatchOperation> {
    let preferred = Pointer::from_static(NODE_AFFINITY).with_trailing_token(PREFERRED);
    let hostnames = Some(&placement.preferred).filter(|names| !affinity.prefers(HOSTNAME, names));
    let labels = placement.preferred_labels.iter().filter(|set| !affinity.prefers_labels(set)).cloned();
    let new = Placement {
        preferred: hostnames.cloned().unwrap_or_default(),
        preferred_labels: labels.collect(),
        ..Placement::default()
    };
    match &present.preferred {
        _ if !new.prefers() => Vec::new(),
        None => vec![add(preferred, preferences(&new).collect())],
        Some(_) => {
            let end = preferred.with_trailing_token("-");
            preferences(&new).map(|preference| add(end.clone(), preference)).collect()
        }
    }
}

/// Appends Berth's gate to those of others.
fn gate(pod: &Pod<'_>) -> Option<PatchOperation> {
    let ours = json!({ "name": GATE });
    match pod.spec.scheduling_gates.map(RawValue::get) {
        _ if is_gated(pod) => None,
        None | Some("null") => Some(add(path(GATES), json!([ours]))),
        Some(_) => Some(add(path(GATES).with_trailing_token("-"), ours)),
    }
}

/// One way to be scheduled.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// To nodes that are named.
    Hosts(&'a Requirement),
    /// To nodes with these labels.
    Labels(&'a Selector),
}

impl<'a> Way<'a> {
    /// All that `placement` allows.
    fn of(placement: &'a Placement) -> Vec<Self> {
        placement.required.iter().map(Self::Hosts).chain(placement.provided.iter().map(Self::Labels)).collect()
    }

    /// Whether `term` allows no more than this already.
    fn stands_in(self, term: &Term<'_>) -> bool {
        match self {
            Self::Hosts(requirement) => requirement.stands_in(term),
            Self::Labels(selector) => term.demands(selector),
        }
    }

    /// What it adds to a term.
    fn expressions(self) -> impl Iterator<Item = Value> + use<'a> {
        let hosts = match self {
            Self::Hosts(Requirement::In(names)) => Some(hosts("In", names)),
            Self::Hosts(Requirement::NotIn(names)) => Some(hosts("NotIn", names)),
            Self::Labels(_) => None,
        };
        let labels = match self {
            Self::Hosts(_) => None,
            Self::Labels(selector) => Some(&selector.requirements),
        };
        hosts.into_iter().chain(labels.into_iter().flatten().map(label_expression))
    }
}

fn terms(ways: &[Way<'_>]) -> Value {
    let term = |way: &Way<'_>| json!({ "matchExpressions": way.expressions().collect::<Vec<_>>() });
    json!({ "nodeSelectorTerms": ways.iter().map(term).collect::<Vec<_>>() })
}

fn hosts(operator: &str, names: &[String]) -> Value {
    json!({ "key": HOSTNAME, "operator": operator, "values": names })
}

fn label_expression(requirement: &LabelRequirement) -> Value {
    let LabelRequirement { key, operator, values } = requirement;
    match values.as_slice() {
        [] => json!({ "key": key, "operator": operator.as_str() }),
        values => json!({ "key": key, "operator": operator.as_str(), "values": values }),
    }
}

fn preferences(placement: &Placement) -> impl Iterator<Item = Value> {
    let hostnames = Some(&placement.preferred).filter(|names| !names.is_empty());
    let hostnames = hostnames.map(|names| json!([hosts("In", names)]));
    let labels = placement.preferred_labels.iter().map(|set| set.requirements.iter().map(label_expression).collect());
    hostnames.into_iter().chain(labels).map(
        |expressions: Value| json!({ "weight": PREFERENCE_WEIGHT, "preference": { "matchExpressions": expressions } }),
    )
}

fn path(text: &'static str) -> PointerBuf {
    Pointer::from_static(text).to_buf()
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

/// The most that one term can weigh. Source: the API's validation, 1 to 100.
const PREFERENCE_WEIGHT: u8 = 100;
const AFFINITY: &str = "/spec/affinity";
const NODE_AFFINITY: &str = "/spec/affinity/nodeAffinity";
const GATES: &str = "/spec/schedulingGates";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

#[cfg(test)]
mod tests;

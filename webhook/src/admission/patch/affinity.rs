//! Placement as patch operations: parents first, nothing overwritten, every term of the user's narrowed.

use json_patch::{AddOperation, PatchOperation};
use jsonptr::{Pointer, PointerBuf};
use serde_json::{Value, json, value::RawValue};

use crate::admission::{
    decode::Pod,
    fits::{Affinity, NodeAffinity},
    place::{GATE, GATED_LABEL, HOSTNAME, PLACED_LABEL, Placement, Requirement, is_gated},
};

/// The operations that give `pod` the affinity and the gate of `placement`. They apply to a Pod that was just created and
/// to a gated one: there the API server accepts requirements that are appended to existing terms, and nothing else.
///
/// An affinity that cannot be read is left alone.
pub fn operations(pod: &Pod<'_>, placement: &Placement) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    let has_affinity = placement.required.is_some() || !placement.preferred.is_empty();
    if let Some(affinity) = Affinity::parse(pod.spec.affinity).ok().filter(|_| has_affinity) {
        operations = merge(affinity.as_ref(), placement);
    }
    if placement.gate {
        operations.extend(gate(pod));
    }
    operations
}

/// The labels, `true`, by which the controller watches: of a Pod that is gated, and of one that may go only where
/// [`operations`] say.
pub fn labels(pod: &Pod<'_>, placement: &Placement) -> impl Iterator<Item = &'static str> {
    let required = placement.required.is_some() && Affinity::parse(pod.spec.affinity).is_ok();
    let gated = placement.gate.then_some(GATED_LABEL);
    gated.into_iter().chain(required.then_some(PLACED_LABEL))
}

/// `required` goes into every term, since any one of them is enough: a term of its own would widen what the user wrote.
fn merge(affinity: Option<&Affinity<'_>>, placement: &Placement) -> Vec<PatchOperation> {
    let Some(affinity) = affinity else {
        return vec![add(path(AFFINITY), json!({ "nodeAffinity": node_affinity(placement) }))];
    };
    let Some(present) = &affinity.node_affinity else {
        return vec![add(path(NODE_AFFINITY), node_affinity(placement))];
    };
    let required = placement.required.iter().flat_map(|requirement| require(present, requirement));
    required.chain(prefer(affinity, present, &placement.preferred)).collect()
}

/// A whole `nodeAffinity`, where there is none.
fn node_affinity(placement: &Placement) -> Value {
    let mut whole = serde_json::Map::new();
    if let Some(requirement) = &placement.required {
        whole.insert(REQUIRED.to_owned(), terms(requirement));
    }
    if !placement.preferred.is_empty() {
        whole.insert(PREFERRED.to_owned(), json!([preference(&placement.preferred)]));
    }
    Value::Object(whole)
}

fn require(present: &NodeAffinity<'_>, requirement: &Requirement) -> Vec<PatchOperation> {
    let required = Pointer::from_static(NODE_AFFINITY).with_trailing_token(REQUIRED);
    let Some(selector) = &present.required else { return vec![add(required, terms(requirement))] };
    let open = selector.terms().iter().enumerate().filter(|(_, term)| !term.is_empty() && !requirement.stands_in(term));
    open.map(|(number, term)| {
        let term_path = required.with_trailing_token("nodeSelectorTerms").with_trailing_token(number);
        let expressions = term_path.with_trailing_token("matchExpressions");
        match &term.match_expressions {
            None => add(expressions, json!([expression(requirement)])),
            Some(_) => add(expressions.with_trailing_token("-"), expression(requirement)),
        }
    })
    .collect()
}

fn prefer(affinity: &Affinity<'_>, present: &NodeAffinity<'_>, hostnames: &[String]) -> Option<PatchOperation> {
    let preferred = Pointer::from_static(NODE_AFFINITY).with_trailing_token(PREFERRED);
    match &present.preferred {
        _ if hostnames.is_empty() || affinity.prefers(HOSTNAME, hostnames) => None,
        None => Some(add(preferred, json!([preference(hostnames)]))),
        Some(_) => Some(add(preferred.with_trailing_token("-"), preference(hostnames))),
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

fn terms(requirement: &Requirement) -> Value {
    json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression(requirement)] }] })
}

fn expression(requirement: &Requirement) -> Value {
    let (operator, values) = match requirement {
        Requirement::In(values) => ("In", values),
        Requirement::NotIn(values) => ("NotIn", values),
    };
    json!({ "key": HOSTNAME, "operator": operator, "values": values })
}

fn preference(hostnames: &[String]) -> Value {
    let preferred = json!({ "key": HOSTNAME, "operator": "In", "values": hostnames });
    json!({ "weight": PREFERENCE_WEIGHT, "preference": { "matchExpressions": [preferred] } })
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

//! The one patch that opens a gate.

use jiff::Timestamp;
use json_patch::{Patch, PatchOperation, RemoveOperation, TestOperation};
use jsonptr::{Pointer, PointerBuf};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::{
    admission::{
        decode::Pod,
        note::Note,
        patch::{affinity, metadata::after_wait},
        place::{GATE, GATED_LABEL, PLACED_LABEL, Placement, Requirement, WAITED},
    },
    events::PodRef,
};

/// A gated Pod, as it was seen last.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    pub(super) who: PodRef,
    pub(super) labelled: bool,
    pub(super) created: Option<Timestamp>,
    resource_version: String,
    /// Where the gate stands in `spec.schedulingGates`.
    gate: usize,
    /// The whole Pod, as far as anything can rest on it.
    text: String,
}

impl Gated {
    /// `object` where it is a Pod with Berth's gate that is not being deleted.
    pub(super) fn of(object: &DynamicObject) -> Option<Self> {
        let metadata = &object.metadata;
        let gates = object.data.pointer("/spec/schedulingGates").and_then(Value::as_array)?;
        let gate = gates.iter().position(|gate| gate.get("name").is_some_and(|name| name == GATE))?;
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        Some(Self {
            who: PodRef::of(metadata)?,
            labelled: metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(GATED_LABEL)),
            created: metadata.creation_timestamp.as_ref().map(|created| created.0),
            resource_version: metadata.resource_version.clone()?,
            gate,
            text: serde_json::to_string(&slim(object)).ok()?,
        })
    }

    /// The Pod, decoded like one under review.
    pub(super) fn pod(&self) -> serde_json::Result<Pod<'_>> {
        serde_json::from_str(&self.text)
    }

    /// Whether `other` is the same Pod, unchanged.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.who.uid, &self.resource_version) == (&other.who.uid, &other.resource_version)
    }

    /// Opens the gate and requires `placement`, if the Pod is still the one that was seen; `notes` stand in place of those
    /// that say it waits.
    ///
    /// The affinity of a gated Pod may only be narrowed, and only while the gate is there: hence all in one patch.
    pub(super) fn lift(&self, pod: &Pod<'_>, placement: &Placement, notes: &[Note]) -> Patch {
        let placement = Placement { gate: false, ..placement.clone() };
        let placed = affinity::labels(pod, &placement).any(|label| label == PLACED_LABEL);
        let mut operations = vec![
            test(&["metadata", "uid"], json!(self.who.uid)),
            test(&["metadata", "resourceVersion"], json!(self.resource_version)),
        ];
        operations.extend(affinity::operations(pod, &placement));
        operations.extend(after_wait(&pod.metadata, notes, placed));
        operations.push(remove(&["spec", "schedulingGates", &self.gate.to_string()]));
        Patch(operations)
    }

    /// Gives the Pod back the label by which it is watched.
    pub(super) fn label(&self) -> Value {
        json!({ "metadata": { "uid": self.who.uid, "labels": { GATED_LABEL: "true" } } })
    }
}

/// `object` without the record of who wrote which field: it can be longer than the rest, and is of no use here.
fn slim(object: &DynamicObject) -> DynamicObject {
    let metadata = ObjectMeta { managed_fields: None, ..object.metadata.clone() };
    DynamicObject { metadata, ..object.clone() }
}

/// Why a gate is opened, in words for the Pod.
pub(super) fn reason(placement: &Placement) -> Note {
    let how = match &placement.required {
        Some(Requirement::In(names)) if placement.held => match names.as_slice() {
            [name] => format!("until {name} had its image"),
            [first, second] => format!("until {first} and {second} had its image"),
            [first, rest @ ..] => format!("until {first} and {} more nodes had its image", rest.len()),
            [] => "for its image".to_owned(),
        },
        _ if placement.held => "until nodes had its image".to_owned(),
        Some(_) => "for its image, and goes where it may run".to_owned(),
        None => "for its image, which nothing makes it wait for any more".to_owned(),
    };
    Note::info(format!("{WAITED} {how}"))
}

fn test(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: pointer(path), value })
}

fn remove(path: &[&str]) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: pointer(path) })
}

fn pointer(path: &[&str]) -> PointerBuf {
    path.iter().fold(Pointer::root().to_buf(), |path, token| path.with_trailing_token(*token))
}

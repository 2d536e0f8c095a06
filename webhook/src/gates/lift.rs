//! The one patch that opens a gate.

use json_patch::{Patch, PatchOperation, RemoveOperation, TestOperation};
use jsonptr::{Pointer, PointerBuf};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::admission::{
    decode::Pod,
    patch::affinity,
    place::{GATE, GATED_LABEL, Placement},
};

/// A gated Pod, as it was seen last.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) labelled: bool,
    resource_version: String,
    /// Where the gate stands in `spec.schedulingGates`.
    gate: usize,
    /// The whole Pod.
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
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            labelled: metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(GATED_LABEL)),
            resource_version: metadata.resource_version.clone()?,
            gate,
            text: serde_json::to_string(object).ok()?,
        })
    }

    /// The Pod, decoded like one under review.
    pub(super) fn pod(&self) -> serde_json::Result<Pod<'_>> {
        serde_json::from_str(&self.text)
    }

    /// Opens the gate and requires `placement`, if the Pod is still the one that was seen.
    ///
    /// The affinity of a gated Pod may only be narrowed, and only while the gate is there: hence all in one patch.
    pub(super) fn lift(&self, pod: &Pod<'_>, placement: &Placement) -> Patch {
        let placement = Placement { gate: false, ..placement.clone() };
        let mut operations = vec![
            test(&["metadata", "uid"], json!(self.uid)),
            test(&["metadata", "resourceVersion"], json!(self.resource_version)),
        ];
        operations.extend(affinity::operations(pod, &placement));
        if self.labelled {
            operations.push(remove(&["metadata", "labels", GATED_LABEL]));
        }
        operations.push(remove(&["spec", "schedulingGates", &self.gate.to_string()]));
        Patch(operations)
    }

    /// Gives the Pod back the label by which it is watched.
    pub(super) fn label(&self) -> Value {
        json!({ "metadata": { "uid": self.uid, "labels": { GATED_LABEL: "true" } } })
    }
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

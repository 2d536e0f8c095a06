//! **patch** — the operations that turn the Pod into what was decided.
//!
//! A patch that does not apply fails the request whatever the failure policy: parents are created first, nothing is
//! tested, nothing is overwritten. A second review of the result yields no operation.

pub mod affinity;
mod metadata;

use json_patch::{AddOperation, PatchOperation, ReplaceOperation};
use jsonptr::PointerBuf;
use serde_json::Value;

use self::metadata::Metadata;
use super::{Moment, Plan, Subject, Verdict, note::Note, place::Placement, settle::Change};

/// Assembles what was decided: operations, notes, a refusal.
pub fn patch(
    subject: &Subject<'_>,
    notes: Vec<Note>,
    plans: &[Plan<'_>],
    changes: Vec<Change>,
    placement: Placement,
) -> Verdict {
    let mut verdict = Verdict { notes, ..Verdict::default() };
    let mut metadata = Metadata::default();
    for (plan, change) in plans.iter().zip(changes) {
        verdict.change(plan, change, &mut metadata);
    }
    if subject.moment == Moment::Create {
        verdict.patch.0.extend(affinity::operations(subject.pod, &placement));
        if let Some(label) = affinity::label(&placement) {
            metadata.label(label);
        }
    }
    verdict.denied = verdict.denied.or(placement.deny);
    verdict.notes.extend(placement.notes);
    if subject.moment == Moment::Create {
        metadata.note(&verdict.notes);
        metadata.write(&subject.pod.metadata, &mut verdict.patch.0);
    }
    if verdict.denied.is_some() {
        verdict.patch.0.clear();
    }
    verdict
}

impl Verdict {
    fn change(&mut self, plan: &Plan<'_>, change: Change, metadata: &mut Metadata) {
        let slot = &plan.slot;
        if let Some(image) = change.image {
            metadata.replaced(slot.name, slot.image);
            self.done.push((slot.name.to_owned(), format!("{} -> {image}", slot.image)));
            self.patch.0.push(replace(&slot.field.image_pointer(), Value::String(image.to_string())));
        }
        if let Some(policy) = change.policy {
            self.done.push((slot.name.to_owned(), format!("imagePullPolicy {} -> {policy}", slot.policy)));
            self.patch.0.push(add(&slot.field.policy_pointer(), Value::String(policy.to_string())));
        }
        self.notes.extend(change.notes);
        self.denied = self.denied.take().or(change.denied);
    }
}

/// `add`, which also replaces the member of an object.
pub(crate) fn add(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value })
}

fn replace(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path: pointer(path), value })
}

fn pointer(path: &str) -> PointerBuf {
    // All paths are written in this module and its children, by their grammar; the root would be the safe mistake.
    PointerBuf::parse(path).unwrap_or_default()
}

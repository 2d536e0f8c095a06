//! **patch** — the operations that turn the Pod into what was decided.
//!
//! A patch that does not apply fails the request whatever the failure policy: parents are created first, nothing is
//! tested, nothing is overwritten. A second review of the result yields no operation.

pub mod affinity;
pub mod metadata;
mod pull_secrets;

use std::fmt::{self, Write as _};

use json_patch::{AddOperation, PatchOperation, ReplaceOperation};
use jsonptr::PointerBuf;
use serde_json::Value;

pub(super) use self::metadata::{LOCAL_IMAGES, TRACES};
use self::{metadata::Metadata, pull_secrets::PullSecrets};
use super::{Moment, Plan, Subject, Verdict, note::Note, place::Placement, settle::Change};
use crate::telemetry::outcome;

/// Assembles what was decided: operations, notes, a refusal.
pub fn patch(
    subject: &Subject<'_>,
    notes: Vec<Note>,
    plans: &[Plan<'_>],
    changes: Vec<Change>,
    placement: Placement,
) -> Verdict {
    let mut verdict = Verdict { notes, ..Verdict::default() };
    let (mut metadata, mut secrets) = (Metadata::default(), PullSecrets::default());
    let confined = placement.requires() || placement.gate;
    for (plan, change) in plans.iter().zip(changes) {
        if confined && plan.found_local(&change) {
            metadata.local(plan.slot.image);
        }
        verdict.change(plan, change, &mut metadata, &mut secrets);
    }
    verdict.notes.extend(secrets.write(subject, &mut verdict.patch.0));
    if subject.moment == Moment::Create {
        verdict.patch.0.extend(affinity::operations(subject.pod, &placement));
        affinity::labels(subject.pod, &placement).for_each(|label| metadata.label(label));
    }
    verdict.denied = verdict.denied.or_else(|| placement.deny.clone());
    verdict.notes.extend(placement.notes.iter().cloned());
    let named = &subject.pod.metadata;
    // A Pod without any name is refused anyway, and may have no metadata to write to.
    if subject.moment == Moment::Create && !(named.name.is_empty() && named.generate_name.is_empty()) {
        metadata.note(&verdict.notes);
        metadata.write(&subject.pod.metadata, &mut verdict.patch.0);
    }
    if verdict.denied.is_some() {
        verdict.patch.0.clear();
    }
    verdict.placement = placement;
    verdict
}

impl Verdict {
    fn change<'a>(
        &mut self,
        plan: &'a Plan<'_>,
        change: Change,
        metadata: &mut Metadata<'a>,
        secrets: &mut PullSecrets,
    ) {
        let slot = &plan.slot;
        if let Some(image) = change.image {
            metadata.replaced(slot.name, slot.image);
            let from_memory = change.pin == Some(outcome::Pin::LastKnownGood);
            let mark = if from_memory { " (last known good)" } else { "" };
            self.done(format_args!("{}: {} -> {image}{mark}", slot.name, slot.image));
            self.patch.0.push(replace(slot.field.image_pointer(), Value::String(image.into_string())));
        }
        if let Some(secret) = change.pull_secret {
            self.done(format_args!("{}: needs pull secret {secret}", slot.name));
            secrets.need(secret);
        }
        if let Some(policy) = change.policy {
            self.done(format_args!("{}: imagePullPolicy {} -> {policy}", slot.name, slot.policy));
            self.patch.0.push(add(slot.field.policy_pointer(), Value::String(policy.to_string())));
        }
        self.notes.extend(change.notes);
        self.denied = self.denied.take().or(change.denied);
    }

    fn done(&mut self, what: fmt::Arguments<'_>) {
        let separator = if self.done.is_empty() { "" } else { "; " };
        // Writing to a String does not fail.
        let _written = write!(self.done, "{separator}{what}");
    }
}

/// `add`, which also replaces the member of an object.
pub(crate) fn add(path: impl Into<String>, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value })
}

fn replace(path: String, value: Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path: pointer(path), value })
}

fn pointer(path: impl Into<String>) -> PointerBuf {
    // All paths are written in this module and its children, by their grammar; the root would be the safe mistake.
    PointerBuf::parse(path).unwrap_or_default()
}

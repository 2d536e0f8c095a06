//! Labels and annotations: what Berth leaves on a Pod for people, merged with what is there.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use json_patch::{AddOperation, PatchOperation, RemoveOperation};
use jsonptr::{Pointer, PointerBuf};
use serde_json::{Value, json, value::RawValue};

use super::add;
use crate::admission::{
    decode,
    note::Note,
    place::{GATED_LABEL, PLACED_LABEL, WAITED, WAITS},
};

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    /// Keys and values.
    labels: Vec<(&'static str, &'static str)>,
    originals: Vec<(&'a str, &'a str)>,
    local: BTreeSet<&'a str>,
    notes: Vec<String>,
}

/// Notes for people, a line each.
pub const NOTES: &str = "berth.dev/notes";
/// What the images were: `{"container": "image"}`. A hint for people; nothing is decided by it.
pub(super) const ORIGINAL_IMAGES: &str = "berth.dev/original-images";
/// The images that no registry had at the review though nobody had written so, each once, between commas: a Pod that is
/// placed or gated goes on needing nodes that hold them, for as long as it has them. Nothing that is new rests on it.
pub(in crate::admission) const LOCAL_IMAGES: &str = "berth.dev/local-images";
/// A person should look at this Pod: `true`, or `waiting` where only what it waits for is the reason.
pub const ATTENTION: &str = "berth.dev/attention";
const WAITING: &str = "waiting";
/// What all other labels say.
const TRUE: &str = "true";

/// What shows that Berth has changed a Pod before, or had something to say about it.
pub(in crate::admission) const TRACES: [&str; 2] = [NOTES, ORIGINAL_IMAGES];

impl<'a> Metadata<'a> {
    /// A label that is `true`.
    pub(super) fn label(&mut self, key: &'static str) {
        self.labels.push((key, TRUE));
    }

    /// The container or volume `name` had `image`.
    pub(super) fn replaced(&mut self, name: &'a str, image: &'a str) {
        self.originals.push((name, image));
    }

    /// No registry had `image`, and the Pod can go only where it is.
    pub(super) fn local(&mut self, image: &'a str) {
        self.local.insert(image);
    }

    /// What people should know.
    pub(super) fn note(&mut self, notes: &[Note]) {
        self.notes.extend(notes.iter().map(ToString::to_string));
        let mut grave = notes.iter().filter(|note| note.attention).peekable();
        if grave.peek().is_some() {
            let only_waits = grave.all(|note| note.text.starts_with(WAITS));
            self.labels.push((ATTENTION, if only_waits { WAITING } else { TRUE }));
        }
    }

    /// Appends the operations; what is there already yields none.
    pub(super) fn write(self, metadata: &decode::Metadata<'_>, operations: &mut Vec<PatchOperation>) {
        if !self.labels.is_empty() {
            let present = Texts::of(metadata.labels);
            let stands = |key, value| present.get(key).is_some_and(|there| there == TRUE || there == value);
            let labels = self.labels.iter().filter(|(key, value)| !stands(key, *value));
            present.add(
                "/metadata/labels",
                labels.map(|(key, value)| (*key, (*value).to_owned())).collect(),
                operations,
            );
        }
        if self.notes.is_empty() && self.originals.is_empty() && self.local.is_empty() {
            return;
        }
        let present = Texts::of(metadata.annotations);
        let notes = (!self.notes.is_empty()).then(|| with_lines(present.get(NOTES), &self.notes)).flatten();
        let originals = (!self.originals.is_empty()).then(|| with_images(present.get(ORIGINAL_IMAGES), self.originals));
        let mut annotations: Vec<_> = notes.map(|notes| (NOTES, notes)).into_iter().collect();
        let roomy = metadata.annotations.map_or(0, |raw| raw.get().len()) <= ANNOTATIONS_LIMIT;
        let local =
            Some(joined(&self.local)).filter(|local| !local.is_empty() && present.get(LOCAL_IMAGES) != Some(local));
        annotations.extend(originals.flatten().filter(|_| roomy).map(|images| (ORIGINAL_IMAGES, images)));
        annotations.extend(local.filter(|_| roomy).map(|images| (LOCAL_IMAGES, images)));
        present.add("/metadata/annotations", annotations, operations);
    }
}

/// The operations on a Pod whose wait is over: `notes` stand in place of the lines that say it waits, and its labels are
/// those of a Pod that goes on; `placed`: to where Berth says.
pub fn after_wait(metadata: &decode::Metadata<'_>, notes: &[Note], placed: bool) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    let (labels, annotations) = (Texts::of(metadata.labels), Texts::of(metadata.annotations));
    let present = annotations.get(NOTES).unwrap_or_default();
    let kept = present.lines().filter(|line| !says_it_waits(line)).collect::<Vec<_>>().join("\n");
    let lines: Vec<_> = notes.iter().map(ToString::to_string).collect();
    let text = with_lines(Some(&kept), &lines).unwrap_or_else(|| kept.clone());
    if text != present {
        annotations.add("/metadata/annotations", vec![(NOTES, text)], &mut operations);
    }
    let grave = notes.iter().any(|note| note.attention);
    let calm = !grave && labels.get(ATTENTION) == Some(WAITING);
    let over = [Some(GATED_LABEL), calm.then_some(ATTENTION)].into_iter().flatten();
    operations.extend(over.filter(|label| labels.get(label).is_some()).map(Texts::removal));
    let new = [placed.then_some(PLACED_LABEL), grave.then_some(ATTENTION)].into_iter().flatten();
    let new = new.filter(|label| labels.get(label) != Some(TRUE)).map(|label| (label, TRUE.to_owned()));
    labels.add("/metadata/labels", new.collect(), &mut operations);
    operations
}

/// Whether a line of the notes is about the Pod's gate: `main: waits, since …`, or how that came to an end.
pub fn is_about_waiting(line: &str) -> bool {
    says_it_waits(line) || line.starts_with(WAITED)
}

/// `main: waits, since …`.
fn says_it_waits(line: &str) -> bool {
    line.starts_with(WAITS) || line.split_once(": ").is_some_and(|(_, rest)| rest.starts_with(WAITS))
}

/// The labels or annotations that are there.
struct Texts<'a>(Option<HashMap<Cow<'a, str>, Cow<'a, str>>>);

impl<'a> Texts<'a> {
    fn of(raw: Option<&'a RawValue>) -> Self {
        Self(raw.and_then(|raw| serde_json::from_str::<Option<_>>(raw.get()).ok().flatten()))
    }

    fn get(&self, key: &str) -> Option<&str> {
        Some(self.0.as_ref()?.get(key)?)
    }

    /// Removes the label `key`.
    fn removal(key: &str) -> PatchOperation {
        PatchOperation::Remove(RemoveOperation { path: member("/metadata/labels", key) })
    }

    /// Adds `entries`, and their parent where there is none.
    fn add(&self, parent: &'static str, entries: Vec<(&str, String)>, operations: &mut Vec<PatchOperation>) {
        if entries.is_empty() {
            return;
        }
        if self.0.is_none() {
            let all = entries.into_iter().map(|(key, text)| (key.to_owned(), Value::String(text))).collect();
            operations.push(add(parent, Value::Object(all)));
            return;
        }
        for (key, text) in entries {
            operations.push(PatchOperation::Add(AddOperation { path: member(parent, key), value: json!(text) }));
        }
    }
}

fn member(parent: &'static str, key: &str) -> PointerBuf {
    Pointer::from_static(parent).with_trailing_token(key)
}

/// The lines that stand there, and those of `notes` that do not; none where nothing is to be added.
fn with_lines(present: Option<&str>, notes: &[String]) -> Option<String> {
    let mut text = present.unwrap_or_default().to_owned();
    let mut added = false;
    for note in notes {
        let line: String = note.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let fits = text.len() + line.len() < NOTES_LIMIT;
        if text.lines().any(|there| there == line) || !fits {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
        added = true;
    }
    added.then_some(text)
}

/// The map that stands there, and `images` where their container is not in it: the first one is the original.
fn with_images<'a>(present: Option<&'a str>, images: Vec<(&'a str, &'a str)>) -> Option<String> {
    let there: Option<BTreeMap<&str, &str>> = present.and_then(|text| serde_json::from_str(text).ok());
    let mut map: BTreeMap<&str, &str> = images.into_iter().collect();
    map.extend(there.into_iter().flatten());
    let text = serde_json::to_string(&map).ok()?;
    (text.len() <= ORIGINALS_LIMIT && present != Some(&text)).then_some(text)
}

/// As many of `images` as fit, between commas, which no image has.
fn joined(images: &BTreeSet<&str>) -> String {
    let mut text = String::new();
    for image in images.iter().filter(|image| !image.is_empty()) {
        let comma = if text.is_empty() { "" } else { "," };
        if text.len() + comma.len() + image.len() <= LOCAL_LIMIT {
            text.push_str(comma);
            text.push_str(image);
        }
    }
    text
}

/// Bytes of the notes' annotation.
const NOTES_LIMIT: usize = 1024;
/// Bytes of the annotation with the original images.
const ORIGINALS_LIMIT: usize = 4096;
/// Bytes of the annotation with the images that no registry had.
const LOCAL_LIMIT: usize = 4096;
/// Bytes of annotations above which no hint is added: the API server refuses Pods with more than 256 KiB.
/// Source: `k8s.io/apimachinery/pkg/api/validation`, `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_LIMIT: usize = 240 * 1024 - ORIGINALS_LIMIT - LOCAL_LIMIT;

#[cfg(test)]
mod tests;

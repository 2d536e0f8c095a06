//! Manifests as files: reads YAML streams and JSON, finds the Pods in them, and writes images back.
//!
//! A manifest belongs to the person who wrote it. Only the bytes of what changes are written: comments, order,
//! quotes, anchors and scalars like `0644` stay as they are, and what is written is read again before it is believed.

mod diff;
mod edit;
mod expand;
mod pods;
mod scalar;
mod tree;
mod write;

use std::ops::Range;

use serde_json::Value;

pub use pods::{Subject, image_changes};
pub use write::Changes;

use edit::Edit;
use expand::Part;
use tree::Tree;

/// A file with any number of documents.
#[derive(Debug)]
pub struct Manifest {
    text: String,
    documents: Vec<Document>,
}

/// One document: how it is written, what that means, and the JSON of it.
#[derive(Debug)]
struct Document {
    tree: Tree,
    meaning: Part,
    value: Value,
}

/// A manifest with changes made.
#[derive(Debug, Eq, PartialEq)]
pub struct Rewritten {
    /// The whole file.
    pub text: String,
    /// Documents, from 0, that are unchanged because changing them would have changed something else as well:
    /// their image is shared by an anchor with something that must stay.
    pub unchanged: Vec<usize>,
    edits: Vec<Edit>,
}

impl Manifest {
    /// Reads a file: YAML, or JSON objects one after the other.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ReadError> {
        let text = String::from_utf8(bytes).map_err(|error| ReadError::encoding(&error))?;
        let documents = documents(&text)?;
        Ok(Self { text, documents })
    }

    /// The file as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each document as kubectl reads it.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.documents.iter().map(|document| &document.value)
    }

    /// A part of a document, from 0.
    pub fn value(&self, document: usize, path: &[String]) -> Option<&Value> {
        pods::at(&self.documents.get(document)?.value, path)
    }

    /// The Pods and Pod templates, in order.
    pub fn subjects(&self) -> Vec<Subject> {
        self.values().enumerate().flat_map(|(index, value)| pods::find(index, value)).collect()
    }

    /// The line, from 1, on which a part of a document stands.
    pub fn line(&self, document: usize, path: &[String]) -> Option<usize> {
        let document = self.documents.get(document)?;
        let node = document.tree.node(document.meaning.at(path)?.node);
        Some(position(&self.text, node.span.start).0)
    }

    /// The file with `changes` made, one for each document. A document is changed exactly as asked, or not at all.
    pub fn rewrite(&self, changes: &[Changes]) -> Rewritten {
        let mut plans: Vec<Option<Vec<Edit>>> = Vec::new();
        for (document, changes) in self.documents.iter().zip(changes) {
            plans.push(write::plan(&self.text, &document.tree, &document.meaning, changes).ok());
        }
        self.weed(&mut plans, changes, 0..self.documents.len());
        let unchanged = plans.iter().enumerate().filter(|(_, plan)| plan.is_none()).map(|(index, _)| index).collect();
        let edits: Vec<_> = plans.into_iter().flatten().flatten().collect();
        Rewritten { text: edit::apply(&self.text, &edits), unchanged, edits }
    }

    /// The difference to the file as it was read, which is called `name`.
    pub fn diff(&self, name: &str, rewritten: &Rewritten) -> String {
        diff::unified(name, &self.text, &rewritten.edits)
    }

    /// Drops the plans in `range` whose result would be read as something else, found by halves.
    fn weed(&self, plans: &mut [Option<Vec<Edit>>], changes: &[Changes], range: Range<usize>) {
        let alone = |(index, plan): (usize, &Option<Vec<Edit>>)| plan.clone().filter(|_| range.contains(&index));
        let tried: Vec<_> = plans.iter().enumerate().map(alone).collect();
        if self.reads_as(&tried, changes) {
            return;
        }
        let middle = range.start.midpoint(range.end);
        if middle > range.start {
            self.weed(plans, changes, range.start..middle);
            self.weed(plans, changes, middle..range.end);
        } else if let Some(plan) = plans.get_mut(range.start) {
            *plan = None;
        }
    }

    /// Whether the file, with the documents changed that have a plan, means what it should.
    fn reads_as(&self, plans: &[Option<Vec<Edit>>], changes: &[Changes]) -> bool {
        let edits: Vec<_> = plans.iter().flatten().flatten().cloned().collect();
        let Ok(again) = documents(&edit::apply(&self.text, &edits)) else { return false };
        let wanted = self.values().zip(plans).zip(changes).map(|((value, plan), changes)| match plan {
            Some(_) => changed(value, changes),
            None => value.clone(),
        });
        again.into_iter().map(|document| document.value).eq(wanted)
    }
}

/// `value` with `changes` made.
fn changed(value: &Value, changes: &Changes) -> Value {
    let mut value = value.clone();
    for (path, new) in changes {
        let Some((key, parent)) = path.split_last() else { continue };
        if let Some(Value::Object(parent)) = pods::at_mut(&mut value, parent) {
            parent.insert(key.clone(), Value::from(new.as_str()));
        }
    }
    value
}

fn documents(text: &str) -> Result<Vec<Document>, ReadError> {
    let trees = match tree::parse(text, 0) {
        Ok(trees) => trees,
        Err(error) => json_stream(text).ok_or(error)?,
    };
    let document = |tree| {
        let meaning = Part::of(&tree, text)?;
        Ok(Document { value: meaning.value(), meaning, tree })
    };
    trees.into_iter().map(document).collect()
}

/// JSON values one after the other, which are no YAML: kubectl takes them.
fn json_stream(text: &str) -> Option<Vec<Tree>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    let mut trees = Vec::new();
    while let Some(value) = stream.next() {
        let raw = value.ok()?.get();
        trees.extend(tree::parse(raw, stream.byte_offset() - raw.len()).ok()?);
    }
    Some(trees)
}

/// Why a file could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{line}:{column}: {what}")]
pub struct ReadError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl ReadError {
    fn syntax(error: &granit_parser::ScanError, text: &str) -> Self {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        Self { line, column, what: hinted(&error.info(), text) }
    }

    fn at(text: &str, offset: usize, what: &str) -> Self {
        let (line, column) = position(text, offset);
        Self { line, column, what: hinted(what, text) }
    }

    fn encoding(error: &std::string::FromUtf8Error) -> Self {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let (line, column) = position(&String::from_utf8_lossy(good), good.len());
        Self { line, column, what: "the file is not encoded in UTF-8".to_owned() }
    }
}

/// Templates of Helm are the usual reason why a file is no YAML.
fn hinted(what: &str, text: &str) -> String {
    let template = text.contains("{{");
    [what, if template { " (this looks like a template: render it first, as by `helm template`)" } else { "" }].concat()
}

/// Line and column of a byte, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;

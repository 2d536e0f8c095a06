//! A document as it is meant: aliases followed, `<<` merged, scalars resolved; every part knows how it was reached.

use std::collections::BTreeMap;

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::{
    ReadError, scalar,
    tree::{Kind, NodeId, Tree},
};

/// A part of a document's meaning, and the node that it comes from.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) node: NodeId,
    /// The aliases that lead here, outermost first; none where the part stands at its own place.
    pub(super) hops: Vec<Hop>,
    pub(super) shape: Shape,
}

/// What a part is.
#[derive(Debug)]
pub(super) enum Shape {
    Leaf(Value),
    List(Vec<Part>),
    Map(BTreeMap<String, Member>),
}

/// A value of a mapping, and the entry that brings it: its own, or a `<<`.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) entry: Entry,
    pub(super) value: Part,
}

/// An entry of a mapping.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Entry {
    pub(super) mapping: NodeId,
    pub(super) index: usize,
}

/// An alias on the way to a part.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) alias: NodeId,
    /// Keys and numbers that lead to what the alias stands for, or to the mapping that it is merged into.
    pub(super) depth: usize,
    /// The entry `<<` that it is merged by.
    pub(super) merge: Option<Entry>,
}

impl Part {
    /// What `tree` means. `text` is for telling where an error is.
    pub(super) fn of(tree: &Tree, text: &str) -> Result<Self, ReadError> {
        Expansion { tree, text, parts: 0 }.follow(tree.root, &Way::default())
    }

    /// The JSON of this part.
    pub(super) fn value(&self) -> Value {
        match &self.shape {
            Shape::Leaf(value) => value.clone(),
            Shape::List(items) => items.iter().map(Self::value).collect(),
            Shape::Map(members) => {
                members.iter().map(|(key, member)| (key.clone(), member.value.value())).collect::<Value>()
            }
        }
    }

    /// The part at `path`.
    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        let next = match &self.shape {
            Shape::Leaf(_) => None,
            Shape::List(items) => items.get(step.parse::<usize>().ok()?),
            Shape::Map(members) => members.get(step).map(|member| &member.value),
        };
        next?.at(rest)
    }

    /// Visits every leaf with its path.
    pub(super) fn leaves<'p>(&'p self, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &'p Self, &'p Value)) {
        match &self.shape {
            Shape::Leaf(value) => visit(path, self, value),
            Shape::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    item.leaves(path, visit);
                    path.pop();
                }
            }
            Shape::Map(members) => {
                for (key, member) in members {
                    path.push(key.clone());
                    member.value.leaves(path, visit);
                    path.pop();
                }
            }
        }
    }
}

struct Expansion<'t> {
    tree: &'t Tree,
    text: &'t str,
    parts: usize,
}

/// How the expansion came to a node.
#[derive(Clone, Default)]
struct Way {
    hops: Vec<Hop>,
    depth: usize,
    /// Collections and aliases around it: bounds the recursion, also where an alias stands inside its own anchor.
    nesting: usize,
}

impl Way {
    fn deeper(&self) -> Self {
        Self { hops: self.hops.clone(), depth: self.depth + 1, nesting: self.nesting + 1 }
    }

    fn by(&self, alias: NodeId, merge: Option<Entry>) -> Self {
        let mut way = Self { nesting: self.nesting + 1, ..self.clone() };
        way.hops.push(Hop { alias, depth: self.depth, merge });
        way
    }
}

impl Expansion<'_> {
    fn follow(&mut self, id: NodeId, way: &Way) -> Result<Part, ReadError> {
        self.parts += 1;
        if way.nesting > NESTING_LIMIT || self.parts > PARTS_LIMIT {
            return Err(self.wrong(id, "it nests too deeply, or its aliases expand to too much"));
        }
        let shape = match &self.tree.node(id).kind {
            Kind::Alias(target) => return self.follow(*target, &way.by(id, None)),
            Kind::Scalar { text, style, tag } => Shape::Leaf(scalar::resolve(text, *style, tag.as_deref())),
            Kind::Sequence(items) => {
                let inside = way.deeper();
                Shape::List(items.iter().map(|item| self.follow(*item, &inside)).collect::<Result<_, _>>()?)
            }
            Kind::Mapping { .. } => Shape::Map(self.members(id, way)?),
        };
        Ok(Part { node: id, hops: way.hops.clone(), shape })
    }

    /// In the order in which they are written, so that a later `<<` wins over an earlier key, as it does in kubectl.
    fn members(&mut self, mapping: NodeId, way: &Way) -> Result<BTreeMap<String, Member>, ReadError> {
        let Kind::Mapping { entries, .. } = &self.tree.node(mapping).kind else { return Ok(BTreeMap::new()) };
        let mut members = BTreeMap::new();
        let inside = way.deeper();
        for (index, (key, value)) in entries.iter().enumerate() {
            let entry = Entry { mapping, index };
            if self.is_merge(*key) {
                self.merge(*value, entry, way, &mut members)?;
                continue;
            }
            let Some(name) = self.key(*key) else {
                return Err(self.wrong(*key, "this key is no text"));
            };
            members.insert(name, Member { entry, value: self.follow(*value, &inside)? });
        }
        Ok(members)
    }

    fn merge(
        &mut self,
        id: NodeId,
        entry: Entry,
        way: &Way,
        into: &mut BTreeMap<String, Member>,
    ) -> Result<(), ReadError> {
        let (mapping, way) = match &self.tree.node(id).kind {
            Kind::Mapping { .. } => (id, Way { nesting: way.nesting + 1, ..way.clone() }),
            Kind::Alias(target) if self.is_mapping(*target) => (*target, way.by(id, Some(entry))),
            // The first of several wins, so it comes last.
            Kind::Sequence(items) if way.nesting < NESTING_LIMIT => {
                return items.iter().rev().try_for_each(|item| self.merge(*item, entry, way, into));
            }
            _ => return Err(self.wrong(id, "`<<` can only merge mappings")),
        };
        let merged = self.follow(mapping, &way)?;
        if let Shape::Map(members) = merged.shape {
            into.extend(members.into_iter().map(|(key, member)| (key, Member { entry, ..member })));
        }
        Ok(())
    }

    fn key(&self, id: NodeId) -> Option<String> {
        match &self.tree.node(id).kind {
            Kind::Scalar { text, style, tag } => scalar::key(scalar::resolve(text, *style, tag.as_deref())),
            Kind::Alias(target) => self.key(*target),
            Kind::Sequence(_) | Kind::Mapping { .. } => None,
        }
    }

    fn is_mapping(&self, id: NodeId) -> bool {
        matches!(self.tree.node(id).kind, Kind::Mapping { .. })
    }

    fn is_merge(&self, key: NodeId) -> bool {
        matches!(&self.tree.node(key).kind, Kind::Scalar { text, style: ScalarStyle::Plain, tag: None } if text == "<<")
    }

    fn wrong(&self, id: NodeId, what: &str) -> ReadError {
        ReadError::at(self.text, self.tree.node(id).span.start, what)
    }
}

/// Below the 128 levels at which `serde_json` stops reading.
const NESTING_LIMIT: usize = 100;
/// Parts of one document with its aliases expanded: far more than any object that an API server takes.
const PARTS_LIMIT: usize = 1_000_000;

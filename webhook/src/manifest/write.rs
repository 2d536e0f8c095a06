//! Writes new images and pull policies into the text, and nothing else.
//!
//! What stands behind an anchor is shared. A value changes where it stands if that is what its own place should say;
//! whoever sees it through an alias and should see something else gets a value of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{
    edit::{self, Edit},
    expand::{Entry, Hop, Part, Shape},
    tree::{NodeId, Tree},
};

/// New texts, by their path in a document.
pub type Changes = BTreeMap<Vec<String>, String>;

/// The edits that make `changes`; or the path for which there are none.
pub(super) fn plan(text: &str, tree: &Tree, meaning: &Part, changes: &Changes) -> Result<Vec<Edit>, Vec<String>> {
    let mut plan = Plan::default();
    let (present, absent): (Vec<_>, Vec<_>) =
        changes.iter().partition(|(path, _)| meaning.at(path).is_some_and(is_leaf));
    plan.change(meaning, &present.into_iter().collect())?;
    for (path, value) in absent {
        plan.add(meaning, path, value).ok_or_else(|| path.clone())?;
    }
    plan.edits(text, tree).ok_or_else(|| changes.keys().next().cloned().unwrap_or_default())
}

/// What is to be written, by the node where it is written.
#[derive(Default)]
struct Plan {
    /// Scalars, and aliases of scalars that become scalars of their own.
    replaced: HashMap<NodeId, Value>,
    inserted: BTreeMap<(Entry, String), Value>,
}

/// A scalar as one reader sees it.
struct Seen<'p> {
    path: Vec<String>,
    part: &'p Part,
    value: &'p Value,
}

impl Plan {
    /// Goes through everybody who sees a scalar that changes, nearest first: its own place, then one alias away, …
    fn change(&mut self, meaning: &Part, changes: &BTreeMap<&Vec<String>, &String>) -> Result<(), Vec<String>> {
        let touched: HashSet<NodeId> =
            changes.keys().filter_map(|path| meaning.at(path)).map(|part| part.node).collect();
        let mut readers = Vec::new();
        meaning.leaves(&mut Vec::new(), &mut |path, part, value| {
            if touched.contains(&part.node) {
                readers.push(Seen { path: path.to_vec(), part, value });
            }
        });
        readers.sort_by_key(|seen| seen.part.hops.len());
        for seen in readers {
            let wanted = changes.get(&seen.path).map_or_else(|| seen.value.clone(), |new| Value::from(new.as_str()));
            if *self.current(&seen) != wanted {
                self.put(&seen, wanted).ok_or(seen.path)?;
            }
        }
        Ok(())
    }

    /// What a reader sees once everything planned so far is written: the outermost edit on its way.
    fn current<'s>(&'s self, seen: &'s Seen<'_>) -> &'s Value {
        let on_the_way = seen.part.hops.iter().find_map(|hop| match hop.merge {
            Some(entry) => self.inserted.get(&(entry, merged_key(hop, &seen.path)?.to_owned())),
            None => self.replaced.get(&hop.alias),
        });
        on_the_way.or_else(|| self.replaced.get(&seen.part.node)).unwrap_or(seen.value)
    }

    /// Writes a value for one reader, at the outermost place that is its own. None where there is none.
    fn put(&mut self, seen: &Seen<'_>, wanted: Value) -> Option<()> {
        match seen.part.hops.first() {
            None => self.replaced.insert(seen.part.node, wanted),
            Some(hop @ Hop { merge: Some(entry), .. }) => {
                self.inserted.insert((*entry, merged_key(hop, &seen.path)?.to_owned()), wanted)
            }
            Some(hop) if hop.depth == seen.path.len() => self.replaced.insert(hop.alias, wanted),
            Some(_) => return None, // the whole container is shared
        };
        Some(())
    }

    /// Writes a key that is not there yet, after the image that it belongs to.
    fn add(&mut self, meaning: &Part, path: &[String], value: &str) -> Option<()> {
        let (key, parent) = path.split_last()?;
        let Shape::Map(members) = &meaning.at(parent)?.shape else { return None };
        let image = ["image", "reference"].iter().find_map(|image| members.get(*image))?;
        self.inserted.insert((image.entry, key.clone()), Value::from(value));
        Some(())
    }

    fn edits(&self, text: &str, tree: &Tree) -> Option<Vec<Edit>> {
        let replaced = self.replaced.iter().map(|(node, value)| edit::replace(text, tree, *node, value));
        let inserted = self.inserted.iter().map(|((entry, key), value)| edit::insert(text, tree, *entry, key, value));
        let mut edits = replaced.chain(inserted).collect::<Option<Vec<_>>>()?;
        edits.sort();
        Some(edits)
    }
}

fn is_leaf(part: &Part) -> bool {
    matches!(part.shape, Shape::Leaf(_))
}

/// The key of the merging mapping that leads to the reader's value, if the value is directly in it.
fn merged_key<'p>(hop: &Hop, path: &'p [String]) -> Option<&'p str> {
    let (key, parent) = path.split_last()?;
    (parent.len() == hop.depth).then_some(key)
}

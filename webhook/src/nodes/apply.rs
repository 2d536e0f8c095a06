//! Changes of the index; [`watch`](super::watch) is the only one who makes them while reviews are served.

use std::{collections::HashMap, hash::BuildHasher as _, mem};

use super::{
    build::Likeness,
    changes::Change,
    facts::Facts,
    index::{Index, Slot},
    loaded::Loaded,
    node::{ENTRIES, Image, NAMES, Node},
    now::Now,
};

impl Index {
    /// Notes that the API was heard of. While it lists all nodes, what is known is as old as before.
    pub fn hear(&mut self, now: Now) {
        self.heard = now;
        if self.listing.is_none() {
            (self.fresh_before, self.fresh) = (self.fresh, now.instant);
        }
    }

    /// Notes that what was heard last was no news: the API cannot tell what has changed.
    pub fn lose(&mut self) {
        self.fresh = self.fresh_before;
    }

    /// A full list begins: [`apply`](Self::apply) all of it, then [`end_list`](Self::end_list).
    pub fn begin_list(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.listing = Some(self.heard.instant);
    }

    /// The full list is complete: nodes that were not in it are gone.
    pub fn end_list(&mut self) {
        self.listing = None;
        (self.fresh_before, self.fresh) = (self.heard.instant, self.heard.instant);
        let stale = |number: &u32| self.nodes.value(*number).round != self.round;
        let gone: Vec<u32> = self.all.numbers().iter().copied().filter(stale).collect();
        for number in gone {
            self.remove_number(number);
        }
    }

    /// Takes in a node, new or changed, and says whether its images are others than before; where they are not, nothing
    /// is done about them.
    pub fn apply(&mut self, node: &Node) -> bool {
        let known = self.nodes.find(node.name());
        let number = known.unwrap_or_else(|| self.add(node.name()));
        let (facts, images) = (Facts::of(node, &mut self.texts), &node.status.images);
        let tells = facts.runtime.tells();
        let proving = tells && is_whole(images, self.list_limit);
        let print = self.hasher.hash_one((tells, images));
        let slot = self.nodes.value_mut(number);
        slot.round = self.round;
        mem::replace(&mut slot.facts, facts).release(&mut self.texts);
        let changed = mem::replace(&mut slot.print, print) != print;
        let proved = mem::replace(&mut slot.proving, proving);
        if proved != proving {
            let kinds = (&mut self.unknown, &mut self.proving);
            let (from, to) = if proving { kinds } else { (kinds.1, kinds.0) };
            from.remove(number, &self.nodes);
            to.insert(number, &self.nodes);
        }
        if changed {
            self.list(number, images, tells, known.map(|_| Before { proved }));
        }
        changed | self.tell(number, node, known.is_some())
    }

    /// Forgets a node.
    pub fn remove(&mut self, name: &str) {
        if let Some(number) = self.nodes.find(name) {
            self.remove_number(number);
        }
    }

    fn add(&mut self, name: &str) -> u32 {
        let number = self.nodes.hold(name, Slot::default);
        self.all.insert(number, &self.nodes);
        self.unknown.insert(number, &self.nodes);
        number
    }

    /// Takes in what was said to be loaded onto the node `number`, and says whether it is new.
    fn tell(&mut self, number: u32, node: &Node, known: bool) -> bool {
        let old = mem::take(&mut self.nodes.value_mut(number).told);
        let loaded = node.loaded().map(Loaded::parse).unwrap_or_default();
        if loaded.is_empty() && old.is_empty() {
            return false;
        }
        let news = known && self.listing.is_none();
        let (told, changed) = self.told.replace(number, &old, &loaded, self.heard, news);
        self.nodes.value_mut(number).told = told;
        changed
    }

    /// Makes `images` the list of the node `number`, touching only what differs. `before`: of the list that it had.
    fn list(&mut self, number: u32, images: &[Image], tells: bool, before: Option<Before>) {
        let mut claims = HashMap::new();
        let mut new = Vec::with_capacity(images.len());
        for Image { names, size } in images {
            let names = names.iter().map(String::as_str).filter(|name| {
                let claimed: &mut u8 = claims.entry(*name).or_default();
                *claimed = claimed.saturating_add(1);
                *claimed <= CLAIMS && name.len() <= NAME_BYTES
            });
            new.extend(self.images.hold(names, *size, tells));
        }
        new.sort_unstable();
        let new = new.into_boxed_slice();
        let old = mem::take(&mut self.nodes.value_mut(number).entries);
        if let Some(before) = before {
            self.note_changes(number, &old, &new, before);
        }
        for entry in new.iter().filter(|entry| old.binary_search(entry).is_err()) {
            self.images.nodes_mut(*entry).insert(number, &self.nodes);
        }
        self.withdraw(number, &old, &new);
        self.nodes.value_mut(number).entries = new;
    }

    /// Notes for each name on the node `number` whether it means something else now than in the list before.
    ///
    /// That a name is new says something only where the list before proved that it was not there: from a list that was
    /// cut it may have been missing.
    fn note_changes(&mut self, number: u32, old: &[u32], new: &[u32], before: Before) {
        let at = self.listing.unwrap_or(self.heard.instant);
        let names = |entries: &[u32], others: &[u32]| {
            let only = entries.iter().filter(|entry| others.binary_search(entry).is_err());
            let names = only.flat_map(|entry| self.images.entry(*entry).names.iter().map(|name| (*name, *entry)));
            names.collect::<HashMap<u32, u32>>()
        };
        let (gone, come) = (names(old, new), names(new, old));
        for (name, entry) in &come {
            let change = match gone.get(name) {
                Some(before) => match self.images.compare(*before, *entry, *name, true) {
                    Likeness::Different => Some(Change { at, before: Some(self.print(*before)) }),
                    Likeness::Same | Likeness::Alike => continue,
                },
                None => before.proved.then_some(Change { at, before: None }),
            };
            match change {
                Some(change) => self.changes.note(number, *name, change),
                None => self.changes.forget(number, *name),
            }
        }
        for name in gone.keys().filter(|name| !come.contains_key(name)) {
            self.changes.forget(number, *name);
        }
    }

    /// Takes the node `number` out of the entries of `old` that are not in `new`, and counts it out of all of `old`.
    fn withdraw(&mut self, number: u32, old: &[u32], new: &[u32]) {
        for entry in old {
            if new.binary_search(entry).is_err() {
                self.images.nodes_mut(*entry).remove(number, &self.nodes);
            }
            self.images.release(*entry);
        }
    }

    fn remove_number(&mut self, number: u32) {
        let slot = self.nodes.value_mut(number);
        let (old, told) = (mem::take(&mut slot.entries), mem::take(&mut slot.told));
        for name in old.iter().flat_map(|entry| &self.images.entry(*entry).names) {
            self.changes.forget(number, *name);
        }
        self.withdraw(number, &old, &[]);
        self.told.replace(number, &told, &Loaded::default(), self.heard, false);
        for kind in [&mut self.all, &mut self.unknown, &mut self.proving] {
            kind.remove(number, &self.nodes);
        }
        if let Some((_, slot)) = self.nodes.release(number) {
            slot.facts.release(&mut self.texts);
        }
    }
}

/// What is known of the list that a node had.
#[derive(Clone, Copy)]
struct Before {
    /// What was not in it was not on the node.
    proved: bool,
}

/// Whether nothing was cut from a list. An empty one is not filled yet, switched off, or true.
fn is_whole(images: &[Image], list_limit: usize) -> bool {
    (1..list_limit.min(ENTRIES)).contains(&images.len()) && images.iter().all(|image| image.names.len() < NAMES)
}

/// How often a node's list can have one name. No runtime has one twice, but a kubelet can say so.
const CLAIMS: u8 = 4;
/// Bytes of a name that are read: registries and runtimes take no longer ones.
const NAME_BYTES: usize = 1 << 10;

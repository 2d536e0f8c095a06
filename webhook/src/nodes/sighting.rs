//! What is known of one image on one node, and since when.

use std::time::{Duration, Instant};

use super::{build::Likeness, changes::Change, index::Index, listed::Listing, told::Telling, view::NodeView};
use crate::image::{Digest, Reference};

/// What a node's list and `berth load` say of one image.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    index: &'a Index,
    /// The node.
    pub node: NodeView<'a>,
    /// How its list has the image; none where only `berth load` said so.
    pub listing: Option<Listing>,
    entry: Option<(u32, u32)>,
    change: Option<Change>,
    telling: Option<&'a Telling>,
}

impl<'a> Sighting<'a> {
    /// What `index` knows of `image` on the node of this number, where `listed` is the number of its entry there.
    pub(super) fn of(
        index: &'a Index,
        image: &Reference,
        number: u32,
        listed: Option<(u32, Listing)>,
        telling: Option<&'a Telling>,
    ) -> Self {
        let name = index.images.find(image);
        let change = name.and_then(|name| index.changes.of(number, name));
        // What was imported since, by other ways, is not what was loaded.
        let replaced = |telling: &&Telling| {
            change
                .zip(telling.since)
                .is_some_and(|(change, since)| change.at.saturating_duration_since(since) > LIST_LAG)
        };
        Self {
            index,
            node: index.view(number),
            listing: listed.map(|(_, listing)| listing),
            entry: listed.map(|(entry, _)| entry).zip(name),
            change,
            telling: telling.filter(|telling| !replaced(telling)),
        }
    }

    /// Whether `berth load` put it there so recently that the list may not say so yet.
    pub fn is_told(&self, now: Instant) -> bool {
        self.telling.is_some_and(|telling| telling.is_fresh(now))
    }

    /// When the image last changed on the node, by our own watch or by `berth load`; none where it was always there as
    /// far as is known.
    pub fn since(&self) -> Option<Instant> {
        match self.telling {
            Some(telling) => telling.since,
            None => self.change.map(|change| change.at),
        }
    }

    /// The image ID of what was loaded, where it was said.
    pub fn id(&self) -> Option<&'a Digest> {
        self.telling?.id.as_ref()
    }

    /// Bytes, as listed.
    pub fn size(&self) -> Option<i64> {
        self.entry.map(|(entry, _)| self.index.images.entry(entry).size)
    }

    /// How the build here compares with the one on another node, at `now`.
    pub fn compare(&self, other: &Self, now: Instant) -> Likeness {
        if let (Some(one), Some(other)) = (self.id(), other.id()) {
            return if one == other { Likeness::Same } else { Likeness::Different };
        }
        match (self.list_entry(now), other.list_entry(now)) {
            (Some((one, name)), Some((other_entry, _))) => {
                let comparable = self.node.architecture() == other.node.architecture();
                self.index.images.compare(one, other_entry, name, comparable)
            }
            (None, None) => Likeness::Alike, // both were loaded just now, and no ID was said
            _ => Likeness::Different,        // one was loaded just now, the other was not
        }
    }

    /// Whether the build here is certain to be newer than the one on another node: it replaced that one here, or it came
    /// later by more than a list is late.
    pub fn is_after(&self, other: &Self) -> bool {
        match (self.since(), other.since()) {
            (None, _) => false,
            (Some(_), None) => true,
            // It was there when `berth load` said so; what a list shows was there before.
            (Some(here), Some(there)) if self.telling.is_some() => here > there,
            (Some(here), Some(there)) => {
                here.saturating_duration_since(there) > LIST_LAG || (self.replaced(other) && !other.replaced(self))
            }
        }
    }

    fn replaced(&self, other: &Self) -> bool {
        let there = other.entry.map(|(entry, _)| self.index.print(entry));
        there.is_some() && self.change.and_then(|change| change.before) == there
    }

    /// The numbers of entry and name, unless the list may still be that from before a load.
    fn list_entry(&self, now: Instant) -> Option<(u32, u32)> {
        let late = self.telling.is_some_and(|telling| {
            let seen = self.change.zip(telling.since).is_some_and(|(change, since)| change.at >= since);
            telling.is_fresh(now) && !seen
        });
        self.entry.filter(|_| !late)
    }
}

/// By how much a node's list can be late: a kubelet looks every 30 s, and an image that is being unpacked takes its time.
const LIST_LAG: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests;

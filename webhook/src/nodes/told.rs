//! What was said to be loaded onto nodes, by image.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    loaded::{Load, Loaded, TOLD},
    names::Interner,
    now::Now,
};
use crate::image::Digest;

/// The annotations `berth.dev/loaded` of all nodes, inverted.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By the image's target.
    images: Interner<str, Vec<Telling>>,
}

/// That an image was put on one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Telling {
    /// The node's number.
    pub(super) node: u32,
    /// When that was, by our clock; none where it was before all that our clock knows.
    pub(super) since: Option<Instant>,
    /// When that was, as it was said.
    pub(super) at: Timestamp,
    /// The image ID, where it is known.
    pub(super) id: Option<Digest>,
}

impl Telling {
    /// Whether it stands in for the node's list at `now`.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) < TOLD)
    }
}

impl Told {
    /// What was said of `image`, by its target; a line for each node.
    pub(super) fn of(&self, image: &str) -> &[Telling] {
        self.images.find(image).map_or(&[], |number| self.images.value(number))
    }

    /// Makes `new` what was said of the node, where `old` are the numbers of the images that were; returns the numbers of
    /// those that are now, and whether anything is other than before.
    ///
    /// `news`: the node was known and nothing else happened since. Then what is new in the annotation was said just now,
    /// whatever the clock says of whoever said it: those of laptops and of their virtual machines differ by minutes.
    pub(super) fn replace(&mut self, node: u32, old: &[u32], new: &Loaded, now: Now, news: bool) -> (Box<[u32]>, bool) {
        let mut changed = false;
        let mut numbers = Vec::new();
        for (image, load) in new.iter() {
            let before = self.of(image).iter().find(|telling| telling.node == node).cloned();
            let same = before.filter(|before| before.at == load.at && before.id == load.id);
            let known = same.is_some();
            let Some(telling) = same.or_else(|| telling(node, load, now, news)) else { continue };
            changed |= !known;
            let number = self.images.hold(image, Vec::new);
            let tellings = self.images.value_mut(number);
            tellings.retain(|telling| telling.node != node);
            tellings.push(telling);
            numbers.push(number);
        }
        for number in old {
            if !numbers.contains(number) {
                self.images.value_mut(*number).retain(|telling| telling.node != node);
                changed = true;
            }
            self.images.release(*number);
        }
        (numbers.into(), changed)
    }

    /// How many images are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }
}

/// None where it was said for the future.
fn telling(node: u32, load: &Load, now: Now, news: bool) -> Option<Telling> {
    let age = now.wall.duration_since(load.at);
    let since = match age.is_negative() {
        _ if news => Some(now.instant),
        true if load.is_credible(now.wall) => Some(now.instant),
        true => return None,
        false => now.instant.checked_sub(age.unsigned_abs()),
    };
    Some(Telling { node, since, at: load.at, id: load.id.clone() })
}

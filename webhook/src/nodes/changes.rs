//! When images on nodes changed, as far as it was seen.

use std::{collections::HashMap, time::Instant};

/// The changes since the first list. What has not changed costs nothing.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By the numbers of node and name.
    seen: HashMap<(u32, u32), Change>,
}

/// That a name means something else on a node than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// When it was seen: up to 40 s after it happened.
    pub(super) at: Instant,
    /// The print of the entry that had the name before; none where none had.
    pub(super) before: Option<u64>,
}

impl Changes {
    /// When the name last changed on the node.
    pub(super) fn of(&self, node: u32, name: u32) -> Option<Change> {
        self.seen.get(&(node, name)).copied()
    }

    /// Notes a change. Where there are too many, the older half is forgotten: it then counts as what was always there.
    pub(super) fn note(&mut self, node: u32, name: u32, change: Change) {
        self.seen.insert((node, name), change);
        if self.seen.len() > MOST {
            let mut times: Vec<Instant> = self.seen.values().map(|change| change.at).collect();
            let (_, middle, _) = times.select_nth_unstable(MOST / 2);
            let oldest_kept = *middle;
            self.seen.retain(|_, change| change.at > oldest_kept);
            self.seen.shrink_to(MOST);
        }
    }

    /// Forgets that the name changed on the node.
    pub(super) fn forget(&mut self, node: u32, name: u32) {
        self.seen.remove(&(node, name));
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}

/// Changes that are kept: some 5 MB.
const MOST: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_older_half_is_forgotten() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        let number = |at: u64| u32::try_from(at).unwrap();
        for at in 0..200_000_u64 {
            changes.note(number(at), 7, Change { at: now + Duration::from_millis(at), before: None });
            assert!(changes.len() <= MOST);
        }
        assert!(changes.len() >= MOST / 2);
        assert!(changes.of(199_999, 7).is_some() && changes.of(100_000, 7).is_none());
        changes.forget(199_999, 7);
        assert!(changes.of(199_999, 7).is_none());
        let same = (0..100_000).map(number);
        same.for_each(|node| changes.note(node, 7, Change { at: now + Duration::from_secs(900), before: None }));
        assert!(changes.len() <= MOST, "all at the same time");
    }
}

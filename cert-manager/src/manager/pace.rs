//! How often something is written: no fight over a field becomes a storm.

use std::{
    collections::HashMap,
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

use tokio::time::Instant;

use crate::Subject;

/// When each object may be written again.
///
/// A rotation is a few writes in a row, and they go through at once. After [`BURST`] of them each costs [`COST`]: so a
/// wiped bundle is back within that time, however often it is wiped.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// For each object, the moment up to which its writes have been paid for.
    paid: HashMap<Subject, Instant>,
}

impl Pace {
    /// How long the next write of these objects has to wait.
    pub(super) fn pause(&self, objects: &[Subject], now: Instant) -> Duration {
        let ahead = objects.iter().filter_map(|object| self.paid.get(object));
        let ahead = ahead.map(|paid| paid.saturating_duration_since(now)).max().unwrap_or_default();
        ahead.saturating_sub(COST * (BURST - 1))
    }

    /// These objects are written now.
    pub(super) fn wrote(&mut self, objects: Vec<Subject>, now: Instant) {
        for object in objects {
            let paid = self.paid.entry(object).or_insert(now);
            *paid = (*paid).max(now) + COST;
        }
    }
}

/// The pause after this many failures in a row, with chance in it: whoever failed together should not come back together.
pub(super) fn backoff(failures: u32, conflict: bool) -> Duration {
    let (first, longest) = if conflict { (CONFLICT, CONFLICTS) } else { (FAILURE, FAILURES) };
    let whole = first.saturating_mul(1 << failures.min(16)).min(longest);
    whole.mul_f64(0.5 + chance() / 2.0)
}

/// From 0 to 1. It spreads things out; nothing secret may depend on it.
fn chance() -> f64 {
    let hash = RandomState::new().build_hasher().finish(); // keyed anew each time, by what the system calls random
    f64::from(u32::try_from(hash >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// What each write costs in the long run.
const COST: Duration = Duration::from_secs(2);
/// Writes in a row that go through at once.
const BURST: u32 = 10;
/// The first pause after somebody else was first, and the longest.
const CONFLICT: Duration = Duration::from_millis(50);
const CONFLICTS: Duration = Duration::from_secs(2);
/// The first pause after another failure, and the longest.
const FAILURE: Duration = Duration::from_millis(500);
const FAILURES: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fight_costs_one_write_every_two_seconds() {
        let object = [Subject::Secret("a".to_owned())];
        let (mut pace, mut now, start) = (Pace::default(), Instant::now(), Instant::now());
        let mut written = 0;
        while now - start < Duration::from_secs(120) {
            let pause = pace.pause(&object, now);
            assert!(pause <= COST, "{pause:?}");
            now += pause;
            pace.wrote(object.to_vec(), now);
            written += 1;
        }
        assert!((69..=71).contains(&written), "{written}");
    }

    #[test]
    fn whoever_writes_seldom_never_waits() {
        let object = [Subject::Secret("a".to_owned())];
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..100 {
            for _ in 0..BURST {
                assert_eq!(pace.pause(&object, now), Duration::ZERO);
                pace.wrote(object.to_vec(), now);
            }
            assert_eq!(pace.pause(&[Subject::Secret("b".to_owned())], now), Duration::ZERO);
            now += COST * BURST;
        }
    }

    #[test]
    fn pauses_grow_and_differ() {
        for (conflict, longest) in [(true, CONFLICTS), (false, FAILURES)] {
            let pauses: Vec<_> = (0..40).map(|failures| backoff(failures, conflict)).collect();
            assert!(pauses.iter().all(|pause| *pause <= longest), "{pauses:?}");
            assert!(pauses[0] < pauses[3] && pauses[39] >= longest / 2, "{pauses:?}");
            assert!(pauses[30..].windows(2).any(|two| two[0] != two[1]), "{pauses:?}");
        }
    }
}

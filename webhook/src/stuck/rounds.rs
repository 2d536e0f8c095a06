//! What was deleted lately: a Pod that its owner made again, just as it was, is not deleted again and again.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::placed::Placed;
use crate::admission::place::Requirement;

/// By the owner's uid and the requirement, when the first one was deleted.
#[derive(Debug, Default)]
pub(super) struct Rounds(HashMap<(String, String), Timestamp>);

impl Rounds {
    /// `pod` was deleted.
    pub(super) fn record(&mut self, pod: &Placed, now: Timestamp) {
        if let Some(key) = key(pod) {
            self.0.entry(key).or_insert(now);
        }
    }

    /// Whether one like `pod` was deleted before this one was made: that did not help.
    pub(super) fn tried(&self, pod: &Placed) -> bool {
        let first = key(pod).and_then(|key| self.0.get(&key));
        // Times of creation have seconds.
        first.is_some_and(|first| pod.created.is_none_or(|created| created.as_second() >= first.as_second()))
    }

    /// Forgets what was long ago: by then something may have been mended.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, first| Duration::try_from(now.duration_since(*first)).is_ok_and(|age| age < LIFE));
    }
}

fn key(pod: &Placed) -> Option<(String, String)> {
    let names = match &pod.requirement {
        Requirement::In(names) => format!("In {}", names.join(" ")),
        Requirement::NotIn(names) => format!("NotIn {}", names.join(" ")),
    };
    Some((pod.who.owner.as_ref()?.uid.clone(), names))
}

/// An owner's Pods with the same requirement are deleted at most once in this time.
const LIFE: Duration = Duration::from_secs(60 * 60);

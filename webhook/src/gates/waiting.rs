//! One Pod that waits: what becomes of it now, and what is to be said of it.

use std::{
    slice,
    time::{Duration, Instant},
};

use super::lift::{Gated, reason};
use crate::admission::{
    gated::{Fate, Scene, fate},
    note::Note,
    place::Placement,
};

/// A gated Pod, and what is remembered of it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) pod: Gated,
    /// Since when it could go only to nodes that cannot tell.
    doubtful: Option<Instant>,
    /// What it waits for.
    state: String,
    /// What was said last, and when.
    said: Option<(String, Instant)>,
    /// How often its patch was refused, and until when it is not tried again.
    refused: (u32, Option<Instant>),
}

/// A gate that is to be opened.
pub(super) struct Lift {
    pub(super) pod: Gated,
    pub(super) patch: json_patch::Patch,
    /// In words.
    pub(super) reason: String,
}

impl Waiting {
    /// `pod`, with what is known from `before` it changed.
    pub(super) fn seen(pod: Gated, before: Option<Self>) -> Self {
        let (doubtful, said) = before.map_or((None, None), |before| (before.doubtful, before.said));
        Self { pod, doubtful, state: String::new(), said, refused: (0, None) }
    }

    /// How its gate is to be opened, if it is.
    pub(super) fn look(&mut self, scene: Scene<'_>) -> Option<Lift> {
        let now = scene.now;
        if self.refused.1.is_some_and(|until| now < until) {
            return None;
        }
        let pod = self.pod.pod().ok()?;
        let fate = fate(&pod, &self.pod.who.namespace, scene);
        let doubtful = matches!(fate, Fate::Doubt(_)).then(|| self.doubtful.unwrap_or(now));
        let settled = doubtful.is_some_and(|since| now.saturating_duration_since(since) >= DOUBT);
        let (placement, notes) = match fate {
            Fate::Go(placement) => (Some(placement), Vec::new()),
            Fate::Doubt(placement) if settled => (Some(placement), Vec::new()),
            Fate::Doubt(Placement { notes, .. }) | Fate::Wait(notes) => (None, notes),
        };
        let lift = placement.map(|placement| {
            let reason = reason(&placement);
            let notes = [slice::from_ref(&reason), &placement.notes].concat();
            let patch = self.pod.lift(&pod, &placement, &notes);
            Lift { pod: self.pod.clone(), patch, reason: sentence(&notes) }
        });
        (self.doubtful, self.state) = (doubtful, sentence(&notes));
        lift
    }

    /// What it waits for, where that is to be said: at once, and when it has become something else for a while.
    pub(super) fn news(&mut self, now: Instant) -> Option<String> {
        if self.state.is_empty() {
            return None;
        }
        let told = |(said, at): &(String, Instant)| {
            let pause = if *said == self.state { REMIND } else { SAY_EVERY };
            now.saturating_duration_since(*at) < pause
        };
        if self.said.as_ref().is_some_and(told) {
            return None;
        }
        self.said = Some((self.state.clone(), now));
        Some(self.state.clone())
    }

    /// The patch of `pod` was refused. If it is still the Pod that is known, it is tried again ever more seldom.
    pub(super) fn refused(&mut self, pod: &Gated, now: Instant) {
        if self.pod.is_same(pod) {
            let (times, _) = self.refused;
            let pause = RETRY.saturating_mul(1 << times.min(RETRY_DOUBLED));
            self.refused = (times.saturating_add(1), Some(now + pause));
        }
    }
}

fn sentence(notes: &[Note]) -> String {
    notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// How long a doubt must last: a node that has just joined lists its images within a minute.
const DOUBT: Duration = Duration::from_secs(120);
/// Time between two different things that are said of one Pod.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// The API server forgets an Event after an hour; what is still true is said again.
const REMIND: Duration = Duration::from_secs(66 * 60);
/// Pause after a patch was refused; doubled each time, up to five minutes and a third.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_DOUBLED: u32 = 6;

//! A digest from before a registry went down.

use std::time::Duration;

use super::{Case, Change};
use crate::{
    admission::{note::Note, pin::Answer, place::Wanted, relax::Relaxing, select::PullPolicy},
    image::{Digest, Reference},
    registry::Error,
    telemetry::outcome,
};

/// The last digest that a registry gave, how long ago, and why it gives none now.
pub(super) struct Aged<'a> {
    pub(super) digest: &'a Digest,
    pub(super) age: Duration,
    pub(super) outage: &'a Error,
}

impl<'a> Aged<'a> {
    /// None where the registry could be asked, or nothing is remembered.
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        let (outage, known) = (answer.now.as_ref().err()?, answer.last_known.as_ref()?);
        Some(Self { digest: &known.digest, age: known.age, outage })
    }
}

impl Case<'_> {
    /// `name` with the last digest known of it; none where that may not stand in.
    pub(super) fn aged(&self, name: &Reference, answer: &Answer) -> Option<Change> {
        self.stand_in(name, &Aged::of(answer)?)
    }

    /// `name` with the digest of `aged`; none where that may not stand in.
    ///
    /// `Always` stays as it is, since the kubelet may reach what Berth cannot; unless a node has just this digest: then
    /// the Pod can run there without any registry.
    pub(super) fn stand_in(&self, name: &Reference, aged: &Aged<'_>) -> Option<Change> {
        let image = name.pinned(aged.digest, self.config.pin.keep_tag);
        let text = format!("pinned as {} ago: {}", rounded(aged.age), aged.outage);
        let mut change = Change { pin: Some(outcome::Pin::LastKnownGood), ..Change::noted(Note::attention(text)) };
        if self.plan.slot.policy == PullPolicy::Always {
            if self.sight.relaxing == Relaxing::Never || !self.is_listed(&image) {
                return None;
            }
            let (about, policy) = (self.plan.slot.name.to_owned(), PullPolicy::IfNotPresent);
            change.policy = Some(policy);
            change.wanted = Some(Wanted { about, image: image.clone(), policy, required: false });
        }
        change.image = Some(image);
        Some(change)
    }

    /// Whether some node lists `image`, by recent news.
    fn is_listed(&self, image: &Reference) -> bool {
        let fresh = |heard| self.sight.now.saturating_duration_since(heard) <= self.config.place.max_stale;
        self.sight.index.filter(|index| fresh(index.heard())).is_some_and(|index| index.listed(image).next().is_some())
    }
}

/// `40s`, `12m`, `3h`, as people say it.
fn rounded(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_as_people_say_them() {
        let said = [0, 119, 120, 7_199, 7_200, 86_400].map(|seconds| rounded(Duration::from_secs(seconds)));
        assert_eq!(said, ["0s", "119s", "2m", "119m", "2h", "24h"]);
    }
}

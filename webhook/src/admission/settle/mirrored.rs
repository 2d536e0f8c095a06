//! What an image becomes that mirrors were asked for.

use super::{Case, Change, OWN_POD, aged::Aged};
use crate::{
    admission::{
        mirror::{Found, Mirrored},
        note::Note,
        pin::Answer,
    },
    image::Reference,
    registry::Error,
    telemetry::outcome,
};

impl Case<'_> {
    /// The first mirror that has it, else what the rules and the source say.
    pub(super) fn by_mirrors(&self, answer: Option<Answer>, mirrored: Mirrored) -> Change {
        if let Some(change) = self.at_mirror(answer.as_ref(), &mirrored) {
            return change;
        }
        let Mirrored { failures, denied, .. } = mirrored;
        if denied {
            return self.unmirrored(&failures, answer.as_ref());
        }
        let notes: Vec<_> = failures.iter().map(not_mirrored).collect();
        let last = failures.into_iter().last().map(|error| Answer { now: Err(error), last_known: None });
        let decides = self.facts.pinnable() || self.facts.digest;
        let mut change = if decides { self.by_source(answer.or(last)) } else { Change::default() };
        change.mirror = Some(outcome::Mirror::Source);
        change.notes.splice(0..0, notes);
        change
    }

    /// None where no mirror has it, or only by a digest that may not stand in.
    fn at_mirror(&self, answer: Option<&Answer>, mirrored: &Mirrored) -> Option<Change> {
        let (found, change) = match (&mirrored.found, &mirrored.remembered) {
            (Some(found), _) => (found, self.found(found, answer)?),
            (None, Some((found, age, outage))) => {
                let aged = Aged { digest: &found.digest, age: *age, outage };
                (found, self.stand_in(&found.image, &aged)?)
            }
            (None, None) => return None,
        };
        let mut change = Change { mirror: Some(outcome::Mirror::Mirrored), ..change };
        change.notes.extend(self.not_pulled_yet(&found.image));
        change.pull_secret.clone_from(&found.pull_secret);
        Some(change)
    }

    fn found(&self, found: &Found, answer: Option<&Answer>) -> Option<Change> {
        if !self.facts.digest
            && let Some(answer) = answer
            && answer.now.is_err()
        {
            return self.aged(&found.image, answer);
        }
        let change = self.written(found.image.pinned(&found.digest, self.config.pin.keep_tag));
        let meant = answer.and_then(|answer| answer.now.as_ref().ok()).or(found.newer.as_ref());
        Some(match (self.image.digest(), meant) {
            (Some(own), _) if *own != found.digest => self.repinned(change),
            (Some(own), Some(meant)) if own != meant => self.outdated(change, meant),
            _ => change,
        })
    }

    /// Nodes see a registry with other eyes than Berth: what to look at, until one of them has pulled from there.
    fn not_pulled_yet(&self, image: &Reference) -> Option<Note> {
        let index = self.sight.index.filter(|index| !index.is_empty() && !index.has_pulled_from(image.host()))?;
        let nodes = if index.len() == 1 { "the node has" } else { "nodes have" };
        let text = format!("{nodes} not pulled from {} yet: check DNS, CA, pull secret there", image.host());
        Some(Note::info(text))
    }

    fn unmirrored(&self, failures: &[Error], answer: Option<&Answer>) -> Change {
        let source = answer.and_then(|answer| answer.now.as_ref().err());
        let why = failures.iter().chain(source).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let missing = failures.iter().any(|error| matches!(error, Error::NotFound { .. }));
        let remedy = match self.plan.detour.first() {
            Some(name) if missing => format!("push it to {name}, or let its mirror rule fall back to the source"),
            _ => format!("its mirror rule does not fall back to the source; {OWN_POD} pin,mirror"),
        };
        let denied = format!("no mirror has image {}: {why}; {remedy} (fallback is deny)", self.image);
        Change { denied: Some(denied), mirror: Some(outcome::Mirror::Denied), ..Change::default() }
    }
}

/// A mirror without the image is usual; one that cannot be asked is not.
fn not_mirrored(error: &Error) -> Note {
    let text = format!("not mirrored: {error}");
    if matches!(error, Error::NotFound { .. }) { Note::info(text) } else { Note::attention(text) }
}

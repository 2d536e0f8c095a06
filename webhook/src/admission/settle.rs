//! What one image becomes, once all questions are answered.

mod aged;
mod mirrored;

use std::time::Instant;

use super::{
    Plan,
    mirror::Mirrored,
    note::Note,
    pin::Answer,
    place::Wanted,
    relax::Relaxing,
    select::PullPolicy,
    verb::{Facts, Verb, verb},
};
use crate::{
    config::{Config, OnFailure, PullPolicyChange, Repin},
    image::{Digest, ParseError, Reference},
    nodes::Index,
    registry::{self, Word},
    telemetry::outcome,
};

/// What one image becomes.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The image to write, where it is another one.
    pub image: Option<Reference>,
    /// The pull policy to write, where it is another one.
    pub policy: Option<PullPolicy>,
    /// The pull secret that the Pod needs for the image to write.
    pub pull_secret: Option<String>,
    /// The image decides where the Pod can run.
    pub wanted: Option<Wanted>,
    /// What people should know.
    pub notes: Vec<Note>,
    /// Why the Pod is refused.
    pub denied: Option<String>,
    /// What pin did, for the metrics.
    pub pin: Option<outcome::Pin>,
    /// What mirror did, for the metrics.
    pub mirror: Option<outcome::Mirror>,
}

/// What is known besides the image and the answers about it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What the nodes list; none without a cluster, or before its first news.
    pub index: Option<&'a Index>,
    /// When the decision is made, against `place.maxStale`.
    pub now: Instant,
    /// How far `Always` may become `IfNotPresent` in this Pod.
    pub relaxing: Relaxing,
    /// Nodes may pull with more than Berth asked with.
    pub asked_partly: bool,
}

/// Decides what the image of `plan` becomes; `answer` is the source's, `mirrored` the mirrors'.
pub fn settle(
    plan: &Plan<'_>,
    answer: Option<Answer>,
    mirrored: Option<Mirrored>,
    config: &Config,
    sight: Sight<'_>,
) -> Change {
    let mut change = match (&plan.slot.reference, &plan.facts) {
        (Ok(image), Some(facts)) => {
            let case = Case { plan, image, facts, config, sight };
            match mirrored {
                Some(mirrored) => case.by_mirrors(answer, mirrored),
                None => case.by_source(answer),
            }
        }
        // Where that image is it starts, and nothing tells where.
        (Err(error @ ParseError::Id { .. }), _) => Change::noted(Note::info(format!("{error}; left as it is"))),
        (Err(error), _) => Change::noted(Note::attention(format!("{error}; left as it is"))),
        (Ok(_), None) => Change::default(),
    };
    for note in &mut change.notes {
        note.about = Some(plan.slot.name.to_owned());
    }
    if let Some(reason) = &mut change.denied {
        *reason = format!("{}: {reason}", plan.slot.name);
    }
    change
}

/// An image that parses, and what is known of it.
struct Case<'a> {
    plan: &'a Plan<'a>,
    image: &'a Reference,
    facts: &'a Facts,
    config: &'a Config,
    sight: Sight<'a>,
}

impl Case<'_> {
    /// No mirror decides: what the source said.
    fn by_source(&self, answer: Option<Answer>) -> Change {
        let word = answer.as_ref().map(|answer| match &answer.now {
            Ok(_) => Word::Has,
            // Who refuses strangers has said nothing to whoever has a pull secret.
            Err(error) if self.sight.asked_partly && error.is_denial() => Word::Silent,
            Err(error) => error.word(),
        });
        let verb = if self.plan.asks() { verb(self.facts, word, &self.config.place) } else { self.plan.verb };
        let mut change = self.by_verb(verb, answer);
        if self.facts.claimed() && word == Some(Word::Has) {
            let name = self.image.repository();
            change
                .notes
                .push(Note::info(format!("nodes hold an import named {name}, and a registry has that name too")));
        }
        change
    }

    fn by_verb(&self, verb: Verb, answer: Option<Answer>) -> Change {
        let policy = self.plan.slot.policy;
        match (verb, answer) {
            (Verb::Pin, Some(Answer { now: Ok(digest), .. })) => {
                let image = self.image.pinned(&digest, self.config.pin.keep_tag);
                Change { pin: Some(outcome::Pin::Pinned), ..self.written(image) }
            }
            (Verb::Compare, Some(Answer { now: Ok(digest), .. })) => self.compared(&digest),
            (Verb::Unpinned { prefer }, answer) => {
                let aged = answer.as_ref().and_then(|answer| self.aged(self.image, answer));
                aged.unwrap_or_else(|| Change {
                    wanted: prefer.then(|| self.wanted(policy, false)),
                    ..self.unpinned(answer.and_then(|answer| answer.now.err()).as_ref())
                })
            }
            (Verb::Place { relax: true }, _) if self.sight.relaxing != Relaxing::Never => Change {
                policy: Some(PullPolicy::IfNotPresent),
                wanted: Some(self.wanted(PullPolicy::IfNotPresent, true)),
                ..Change::noted(Note::info("no registry has it: imagePullPolicy became IfNotPresent"))
            },
            (Verb::Place { relax: true }, _) => Change::noted(Note::attention(
                "no registry has it, and the API server sets imagePullPolicy: Always: it cannot start",
            )),
            (Verb::Place { relax: false }, _) => {
                Change { wanted: Some(self.wanted(policy, true)), ..Change::default() }
            }
            (Verb::Prefer, _) => Change { wanted: Some(self.wanted(policy, false)), ..Change::default() },
            (Verb::WillFail, _) => Change::noted(Note::attention(
                "no registry has it, and the kubelet asks one at each start: set imagePullPolicy: IfNotPresent",
            )),
            (Verb::Ask | Verb::Leave | Verb::Pin | Verb::Compare, _) => {
                let digest = self.facts.digest;
                let pin = if digest { outcome::Pin::AlreadyPinned } else { outcome::Pin::NotCovered };
                Change { pin: Some(pin), ..Change::default() }
            }
        }
    }

    /// Its tag means `digest` now: is that the one that it has?
    fn compared(&self, digest: &Digest) -> Change {
        if self.image.digest() == Some(digest) {
            return Change { pin: Some(outcome::Pin::AlreadyPinned), ..Change::default() };
        }
        if self.facts.repin == Repin::Replace {
            return self.repinned(Change::writing(self.image.pinned(digest, self.config.pin.keep_tag)));
        }
        self.outdated(Change::default(), digest)
    }

    /// `change` replaces the digest.
    fn repinned(&self, mut change: Change) -> Change {
        let tag = self.image.tag().unwrap_or_default();
        change.notes.push(Note::info(format!("re-pinned: {tag} means another build now")));
        Change { pin: Some(outcome::Pin::Repinned), ..change }
    }

    /// `change` leaves the digest, although the tag means `newer`.
    fn outdated(&self, mut change: Change, newer: &Digest) -> Change {
        let tag = self.image.tag().unwrap_or_default();
        let newer: String = newer.as_str().chars().take(SHORT_DIGEST).collect();
        change.notes.push(Note::info(format!("outdated: {tag} means {newer}… now (pin.repin is warn here)")));
        Change { pin: Some(outcome::Pin::Outdated), ..change }
    }

    fn unpinned(&self, failure: Option<&registry::Error>) -> Change {
        let why = failure.map_or_else(|| "no registry was asked".to_owned(), ToString::to_string);
        match self.config.pin.on_failure {
            OnFailure::Admit => Change {
                pin: Some(outcome::Pin::Unresolved),
                ..Change::noted(Note::attention(format!("not pinned: {why}")))
            },
            OnFailure::Deny => {
                let silent = failure.is_some_and(|failure| failure.word() == Word::Silent);
                let way_out = if silent { format!("; {OWN_POD} pin") } else { String::new() };
                let denied =
                    format!("image {} could not be pinned: {why} (pin.onFailure is deny{way_out})", self.image);
                Change { pin: Some(outcome::Pin::Denied), denied: Some(denied), ..Change::default() }
            }
        }
    }

    fn wanted(&self, policy: PullPolicy, required: bool) -> Wanted {
        Wanted { about: self.plan.slot.name.to_owned(), image: self.image.clone(), policy, required }
    }

    /// `image` is written with a digest that was asked for just now. Where it had none, it need not be asked for again at
    /// each start: a digest never changes.
    fn written(&self, image: Reference) -> Change {
        let asks_for_nothing = !self.facts.digest && self.facts.policy == PullPolicy::Always;
        let relaxes =
            self.config.pin.pull_policy == PullPolicyChange::IfNotPresent && self.sight.relaxing == Relaxing::Freely;
        let policy = (asks_for_nothing && relaxes).then_some(PullPolicy::IfNotPresent);
        let image = (image != *self.image).then_some(image);
        Change { image, policy, ..Change::default() }
    }
}

impl Change {
    fn noted(note: Note) -> Self {
        Self { notes: vec![note], ..Self::default() }
    }

    fn writing(image: Reference) -> Self {
        Self { image: Some(image), ..Self::default() }
    }
}

/// A registry cannot be asked about the Pod that brings it back.
const OWN_POD: &str = "a Pod of that registry itself needs the annotation berth.dev/skip:";
/// Characters of a digest that people compare: `sha256:` and twelve digits.
const SHORT_DIGEST: usize = 19;

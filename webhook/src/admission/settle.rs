//! What one image becomes, once all questions are answered.

use super::{
    Plan,
    mirror::Mirrored,
    note::Note,
    pin::Answer,
    place::Wanted,
    select::PullPolicy,
    verb::{Facts, Verb, verb},
};
use crate::{
    config::{Config, OnFailure},
    image::Reference,
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

/// Decides what the image of `plan` becomes; `answer` is the source's, `mirrored` the mirrors'.
pub fn settle(plan: &Plan<'_>, answer: Answer, mirrored: Option<Mirrored>, config: &Config) -> Change {
    let mut change = match (&plan.slot.reference, &plan.facts) {
        (Ok(image), Some(facts)) => Case { plan, image, facts, config }.settle(answer, mirrored),
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
}

impl Case<'_> {
    fn settle(&self, answer: Answer, mirrored: Option<Mirrored>) -> Change {
        let Some(mirrored) = mirrored else { return self.by_source(answer) };
        if let Some((at_mirror, digest)) = mirrored.found {
            let image = self.differing(at_mirror.pinned(&digest, self.config.pin.keep_tag));
            return Change { image, mirror: Some(outcome::Mirror::Mirrored), ..Change::default() };
        }
        if mirrored.denied {
            let asked = mirrored.failures.into_iter().chain(answer.and_then(Result::err));
            return self.unmirrored(&asked.collect::<Vec<_>>());
        }
        let notes: Vec<_> = mirrored.failures.iter().map(|why| Note::info(format!("not mirrored: {why}"))).collect();
        let last = mirrored.failures.into_iter().last().map(Err);
        let mut change = if self.facts.pinnable() { self.by_source(answer.or(last)) } else { Change::default() };
        change.mirror = Some(outcome::Mirror::Source);
        change.notes.splice(0..0, notes);
        change
    }

    /// No mirror decides: what the source said.
    fn by_source(&self, answer: Answer) -> Change {
        let word = match &answer {
            Some(Ok(_)) => Some(Word::Has),
            Some(Err(error)) => Some(error.word()),
            None => None,
        };
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

    fn by_verb(&self, verb: Verb, answer: Answer) -> Change {
        let policy = self.plan.slot.policy;
        match (verb, answer) {
            (Verb::Pin, Some(Ok(digest))) => {
                let image = self.differing(self.image.pinned(&digest, self.config.pin.keep_tag));
                Change { image, pin: Some(outcome::Pin::Pinned), ..Change::default() }
            }
            (Verb::Unpinned { prefer }, answer) => Change {
                wanted: prefer.then(|| self.wanted(policy, false)),
                ..self.unpinned(answer.and_then(Result::err).as_ref())
            },
            (Verb::Place { relax: true }, _) => Change {
                policy: Some(PullPolicy::IfNotPresent),
                wanted: Some(self.wanted(PullPolicy::IfNotPresent, true)),
                ..Change::default()
            },
            (Verb::Place { relax: false }, _) => {
                Change { wanted: Some(self.wanted(policy, true)), ..Change::default() }
            }
            (Verb::Prefer, _) => Change { wanted: Some(self.wanted(policy, false)), ..Change::default() },
            (Verb::WillFail, _) => Change::noted(Note::attention(
                "no registry has it, and the kubelet asks one at each start: set imagePullPolicy: IfNotPresent",
            )),
            (Verb::Ask | Verb::Leave | Verb::Pin, _) => {
                let digest = self.facts.digest;
                let pin = if digest { outcome::Pin::AlreadyPinned } else { outcome::Pin::NotCovered };
                Change { pin: Some(pin), ..Change::default() }
            }
        }
    }

    fn unpinned(&self, failure: Option<&registry::Error>) -> Change {
        let why = failure.map_or_else(|| "no registry was asked".to_owned(), ToString::to_string);
        match self.config.pin.on_failure {
            OnFailure::Admit => Change {
                pin: Some(outcome::Pin::Unresolved),
                ..Change::noted(Note::attention(format!("not pinned: {why}")))
            },
            OnFailure::Deny => Change {
                pin: Some(outcome::Pin::Denied),
                denied: Some(format!("image {} could not be pinned: {why} (pin.onFailure is deny)", self.image)),
                ..Change::default()
            },
        }
    }

    fn unmirrored(&self, failures: &[registry::Error]) -> Change {
        let why: Vec<_> = failures.iter().map(ToString::to_string).collect();
        let denied = format!("no mirror has image {}: {} (the rule's fallback is deny)", self.image, why.join("; "));
        Change { denied: Some(denied), mirror: Some(outcome::Mirror::Denied), ..Change::default() }
    }

    fn wanted(&self, policy: PullPolicy, required: bool) -> Wanted {
        Wanted { about: self.plan.slot.name.to_owned(), image: self.image.clone(), policy, required }
    }

    fn differing(&self, image: Reference) -> Option<Reference> {
        (image != *self.image).then_some(image)
    }
}

impl Change {
    fn noted(note: Note) -> Self {
        Self { notes: vec![note], ..Self::default() }
    }
}

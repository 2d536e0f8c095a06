//! Events as the API server takes them.

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tracing::debug;

use super::{Reason, Recorder, Saying, series};
use crate::{
    call::{Failure, within},
    telemetry::outcome,
};

/// Whether an Event was said now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// It is new.
    New,
    /// It was there, by this controller before it was restarted or by another one.
    Before,
}

impl Saying {
    pub(super) fn new(about: ObjectReference, owner: Option<OwnerReference>, reason: Reason, text: &str) -> Self {
        Self { about, owner, reason, note: note(text), failed: 0 }
    }

    /// The Event's name: the same for the same object and text, whoever says it.
    pub(super) fn name(&self) -> String {
        let ObjectReference { kind, name: about, uid, .. } = &self.about;
        let [kind, about, uid] = [kind, about, uid].map(|text| text.as_deref().unwrap_or_default());
        name(about, hash(&[kind, uid, self.reason.word(), &self.note]))
    }

    /// Where the Event is.
    pub(super) fn namespace(&self) -> &str {
        namespace(&self.about)
    }
}

/// The namespace of an Event: of what it is about, and `default` where that is in none.
/// Source: `k8s.io/kubernetes/pkg/apis/core/validation`, `legacyValidateEvent`.
fn namespace(about: &ObjectReference) -> &str {
    about.namespace.as_deref().unwrap_or("default")
}

impl Recorder {
    /// Makes an Event for `pods` occurrences at once, unless it is there.
    pub(super) async fn create(
        &self,
        name: &str,
        about: &ObjectReference,
        reason: Reason,
        note: &str,
        pods: i32,
    ) -> Result<Told, Failure> {
        let now = MicroTime(Timestamp::now());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            action: Some(reason.action().to_owned()),
            event_time: Some(now.clone()),
            note: Some(note.to_owned()),
            reason: Some(reason.word().to_owned()),
            regarding: Some(about.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            series: (pods > 1).then_some(EventSeries { count: pods, last_observed_time: now }),
            type_: Some(reason.kind().to_owned()),
            ..Event::default()
        };
        match within(self.events(about).create(&PostParams::default(), &event)).await {
            Ok(_) => {
                self.metrics.controller.event(outcome::Event::Written);
                Ok(Told::New)
            }
            Err(failure) if failure.is_there() => Ok(Told::Before),
            Err(failure) => Err(failure),
        }
    }

    /// Says on an owner what was said of its Pods; where it stands there already, counts on.
    pub(super) async fn tell_owner(&self, name: String, told: series::Told) {
        let outcome = match self.create(&name, &told.about, told.reason, &told.note, told.pods).await {
            Ok(Told::Before) => self.count(&name, &told).await,
            Ok(Told::New) => Ok(()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            debug!(event = name, %failure, "an Event on an owner could not be written");
            self.metrics.controller.event(outcome::Event::Failed);
        }
    }

    /// Adds to the count of a series, as long as nobody else does at the same moment.
    async fn count(&self, name: &str, told: &series::Told) -> Result<(), Failure> {
        let events = self.events(&told.about);
        for _ in 1..COUNT_ATTEMPTS {
            match self.count_once(&events, name, told.pods).await {
                Err(failure) if failure.is_changed() => (),
                outcome => return outcome,
            }
        }
        self.count_once(&events, name, told.pods).await
    }

    async fn count_once(&self, events: &Api<Event>, name: &str, pods: i32) -> Result<(), Failure> {
        let event = within(events.get(name)).await?;
        let before = event.series.map_or(1, |series| series.count);
        let series =
            EventSeries { count: before.saturating_add(pods), last_observed_time: MicroTime(Timestamp::now()) };
        let version = event.metadata.resource_version;
        let patch = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "series": series }));
        within(events.patch(name, &PatchParams::default(), &patch)).await.map(drop)
    }

    fn events(&self, about: &ObjectReference) -> Api<Event> {
        Api::namespaced(self.client.clone(), namespace(about))
    }
}

/// `text` as an Event may say it: on one line, and not too long.
pub(super) fn note(text: &str) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let lines = text.lines().map(|line| line.chars().map(clean).collect::<String>().trim().to_owned());
    let whole = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    if whole.len() <= NOTE_LIMIT {
        return whole;
    }
    let ends = whole.char_indices().map(|(end, _)| end).take_while(|end| *end <= NOTE_LIMIT - CUT.len());
    [whole.get(..ends.last().unwrap_or_default()).unwrap_or_default(), CUT].concat()
}

/// `web-7f9c.5d41402abc4b2a76`, as other Events are called, of a name that is one already.
pub(super) fn name(about: &str, hash: u64) -> String {
    let about: String = about.chars().take(NAME_LIMIT).collect();
    format!("{}.{hash:016x}", about.trim_end_matches(['-', '.']))
}

/// The same for the same texts, in each process.
pub(super) fn hash(texts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    }
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

const CONTROLLER: &str = "berth.dev/controller";
/// Bytes of a note. Source: `k8s.io/kubernetes/pkg/apis/core/validation`, `NoteLengthLimit`.
const NOTE_LIMIT: usize = 1024;
const CUT: &str = "…";
/// Characters of the name of an object that stand in its Event's: all together are a DNS subdomain, at most 253.
const NAME_LIMIT: usize = 230;
/// How often a count is tried while others count, too.
const COUNT_ATTEMPTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_one_line_and_bounded() {
        assert_eq!(note("main: a\n\n b\tc \u{7}"), "main: a; b c");
        let long = note(&"ä".repeat(2000));
        assert!(long.len() <= NOTE_LIMIT && long.ends_with("ä…"), "{}", long.len());
    }

    #[test]
    fn names_are_the_same_for_the_same_and_never_too_long() {
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
        assert_eq!(name("web-1", 255), "web-1.00000000000000ff");
        assert_eq!(name(&["a".repeat(229), "-b".into()].concat(), 1).len(), 229 + 17);
    }
}

//! Events on owners: those of all Pods that say the same are one, with a count.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::Instant;

use super::{Reason, Saying, write};

/// What is said on an owner.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) about: ObjectReference,
    pub(super) reason: Reason,
    pub(super) note: String,
    /// Pods that it was said of and that are not counted in the Event yet.
    pub(super) pods: i32,
}

/// What is to be counted in the Events of owners, by their names.
#[derive(Debug, Default)]
pub(super) struct Series {
    waiting: HashMap<String, Told>,
    /// When each was written last, for those of the last seconds.
    written: HashMap<String, Instant>,
}

/// The Event on `owner` for what is said of one of its Pods, and its name. Texts that differ from Pod to Pod make a
/// few Events on the owner, never more.
pub(super) fn about(saying: &Saying, owner: ObjectReference) -> (String, Told) {
    let slot = write::hash(&[&saying.note]) % SLOTS;
    let uid = owner.uid.as_deref().unwrap_or_default();
    let hash = write::hash(&[uid, saying.reason.word(), &slot.to_string()]);
    let name = write::name(owner.name.as_deref().unwrap_or_default(), hash);
    (name, Told { about: owner, reason: saying.reason, note: saying.note.clone(), pods: 1 })
}

impl Series {
    /// Counts one more.
    pub(super) fn count(&mut self, name: &str, told: Told) {
        // The namespace is part of it: names are unique in theirs only.
        let key = [told.about.namespace.as_deref().unwrap_or_default(), name].join("/");
        match self.waiting.get_mut(&key) {
            Some(waiting) => waiting.pods = waiting.pods.saturating_add(told.pods),
            None => drop(self.waiting.insert(key, told)),
        }
    }

    /// Takes what is to be written now: the first at once, more of the same after a while.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(String, Told)> {
        self.written.retain(|_, written| now.saturating_duration_since(*written) < EVERY);
        let due: Vec<_> = self.waiting.keys().filter(|key| !self.written.contains_key(*key)).cloned().collect();
        let taken = due.into_iter().filter_map(|key| {
            let told = self.waiting.remove(&key)?;
            let name = key.split_once('/').map(|(_, name)| name.to_owned())?;
            self.written.insert(key, now);
            Some((name, told))
        });
        taken.collect()
    }
}

/// Events with one reason that an owner has at most.
const SLOTS: u64 = 16;
/// Time between two counts of the same Event.
const EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::PodRef;

    #[test]
    fn a_thousand_pods_are_counted_in_one_event_every_few_seconds() {
        let mut series = Series::default();
        let owner = ObjectReference { uid: Some("u".into()), name: Some("web".into()), ..ObjectReference::default() };
        let start = Instant::now();
        let mut written = Vec::new();
        for number in 0..1000 {
            let pod = PodRef { namespace: "shop".into(), name: "p".into(), uid: number.to_string(), owner: None };
            let saying = Saying::new(pod.reference(), None, Reason::WaitingForImage, "waits");
            let (name, told) = about(&saying, owner.clone());
            series.count(&name, told);
            written.extend(series.due(start + Duration::from_millis(20 * number)));
        }
        written.extend(series.due(start + Duration::from_secs(60)));
        assert_eq!(written.iter().map(|(_, told)| told.pods).sum::<i32>(), 1000);
        assert_eq!(written.len(), 5, "at 0, 5, 10, 15 s, and the rest");
        assert!(written.iter().all(|(name, _)| *name == written[0].0), "one Event");
    }

    #[test]
    fn texts_of_a_pod_each_make_few_events() {
        let owner = ObjectReference { uid: Some("u".into()), name: Some("web".into()), ..ObjectReference::default() };
        let names = (0..1000).map(|number| {
            let pod = PodRef { namespace: "shop".into(), name: "p".into(), uid: number.to_string(), owner: None };
            let note = format!("the registry is asked again in {number} s");
            about(&Saying::new(pod.reference(), None, Reason::ImageNotes, &note), owner.clone()).0
        });
        let names: std::collections::HashSet<_> = names.collect();
        assert_eq!(names.len(), usize::try_from(SLOTS).unwrap());
    }
}

//! What waits to be written: a line a namespace, each in its turn, so that a loud one delays nobody else.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    time::Duration,
};

use tokio::time::Instant;

use super::Saying;

/// Lines of Events, by namespace.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: BTreeMap<String, VecDeque<Saying>>,
    /// The namespace that had its turn last.
    last: String,
    /// Names of Events that were said, and when; and the order of that.
    said: HashMap<String, Instant>,
    order: VecDeque<(Instant, String)>,
}

impl Queue {
    /// Remembers that the Event `name` is said at `now`; no where it was said lately.
    pub(super) fn is_new(&mut self, name: &str, now: Instant) -> bool {
        let old = |(at, _): &(Instant, String)| now.saturating_duration_since(*at) >= LIFE;
        while self.order.len() >= SAID_MOST || self.order.front().is_some_and(old) {
            let Some((at, name)) = self.order.pop_front() else { break };
            if self.said.get(&name) == Some(&at) {
                self.said.remove(&name);
            }
        }
        if self.said.contains_key(name) {
            return false;
        }
        self.said.insert(name.to_owned(), now);
        self.order.push_back((now, name.to_owned()));
        true
    }

    /// The Event `name` was not said after all.
    pub(super) fn forget(&mut self, name: &str) {
        self.said.remove(name);
    }

    /// Appends `saying`, unless its namespace has too many waiting.
    pub(super) fn push(&mut self, saying: Saying) -> bool {
        let line = self.lines.entry(saying.namespace().to_owned()).or_default();
        let room = line.len() < LINE_MOST;
        if room {
            line.push_back(saying);
        }
        room
    }

    /// The next one of the next namespace.
    pub(super) fn pop(&mut self) -> Option<Saying> {
        let after = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
        let next = self.lines.range::<str, _>(after).next().or_else(|| self.lines.iter().next());
        let namespace = next.map(|(namespace, _)| namespace.clone())?;
        let line = self.lines.get_mut(&namespace)?;
        let saying = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&namespace);
        }
        self.last = namespace;
        saying
    }
}

/// Longer than the hour for which the API server keeps an Event: what is still true is then said again.
/// Source: kube-apiserver's `--event-ttl`.
const LIFE: Duration = Duration::from_secs(65 * 60);
/// Names of Events that are remembered.
const SAID_MOST: usize = 50_000;
/// Events of one namespace that may wait: two minutes' worth where it is alone.
const LINE_MOST: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{PodRef, Reason};

    fn saying(namespace: &str, name: &str) -> Saying {
        let pod = PodRef { namespace: namespace.into(), name: name.into(), uid: format!("uid-of-{name}"), owner: None };
        Saying::new(pod.reference(), None, Reason::ImageNotes, "look")
    }

    #[test]
    fn each_namespace_has_its_turn() {
        let mut queue = Queue::default();
        assert!(queue.pop().is_none());
        for name in ["1", "2", "3"] {
            assert!(queue.push(saying("loud", name)));
        }
        assert!(queue.push(saying("a", "4")) && queue.push(saying("z", "5")));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|saying| saying.about.name.unwrap()).collect();
        assert_eq!(order, ["4", "1", "5", "2", "3"]);
        assert!(queue.push(saying("loud", "6")));
        assert_eq!(queue.pop().unwrap().about.name.unwrap(), "6");
    }

    #[test]
    fn what_was_said_is_new_again_after_an_hour() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(queue.is_new("a", start) && !queue.is_new("a", after(3600)));
        assert!(queue.is_new("a", after(3900)) && !queue.is_new("a", after(3901)));
        queue.forget("a");
        assert!(queue.is_new("a", after(3902)) && !queue.is_new("a", after(7801)), "by the second time");
        for number in 0..2 * SAID_MOST {
            queue.is_new(&number.to_string(), after(4000));
        }
        assert!(queue.said.len() <= SAID_MOST && queue.order.len() <= SAID_MOST);
    }

    #[test]
    fn a_line_is_bounded_and_leaves_room_for_others() {
        let mut queue = Queue::default();
        let taken = (0..LINE_MOST + 10).filter(|number| queue.push(saying("loud", &number.to_string()))).count();
        assert_eq!(taken, LINE_MOST);
        assert!(queue.push(saying("quiet", "1")));
    }
}

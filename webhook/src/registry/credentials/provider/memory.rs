//! What a provider said, for how long, and what it is being asked.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{Answer, Outcome};
use crate::registry::credentials::program::Failure;

/// An image as providers are asked for it: host and repository, without tag and digest.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::registry) struct Name {
    text: Arc<str>,
    /// Where the host ends.
    slash: usize,
}

impl Name {
    /// The repository `path` at `host`.
    pub(in crate::registry) fn new(host: &str, path: &str) -> Self {
        Self { text: [host, "/", path].concat().into(), slash: host.len() }
    }

    /// `docker.io/library/nginx`.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(in crate::registry::credentials) fn host(&self) -> &str {
        self.text.get(..self.slash).unwrap_or_default()
    }

    pub(in crate::registry::credentials) fn path(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }
}

/// The images that an answer is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// The one that was asked for.
    Image,
    /// All of its registry.
    Registry,
    /// All that the provider is asked about.
    Global,
}

impl Reach {
    /// What all images have in common that an answer for `name` is for.
    pub(super) fn of(self, name: &Name) -> Key {
        match self {
            Self::Image => Key::Image(name.clone()),
            Self::Registry => Key::Registry(name.host().to_owned()),
            Self::Global => Key::Global,
        }
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Key {
    Image(Name),
    Registry(String),
    Global,
}

/// What a provider said, for how long, and what it is being asked.
#[derive(Debug, Default)]
pub(super) struct Memory {
    told: HashMap<Key, Told>,
    runs: HashMap<Key, watch::Receiver<Option<Outcome>>>,
    /// How far its last answer reached: so it need not be asked again for what the next one covers, too.
    reach: Option<Reach>,
}

#[derive(Debug)]
struct Told {
    told: Result<Arc<Answer>, Failure>,
    until: Instant,
}

impl Memory {
    /// What was said that still counts for `name`.
    pub(super) fn look(&self, name: &Name, now: Instant) -> Option<Result<Arc<Answer>, Failure>> {
        let fresh = |key: &Key| self.told.get(key).filter(|told| now < told.until).map(|told| told.told.clone());
        let answers = [Reach::Image, Reach::Registry, Reach::Global];
        let good = answers.iter().filter_map(|reach| fresh(&reach.of(name))).find(Result::is_ok);
        good.or_else(|| fresh(&self.run_for(name)))
    }

    /// The run to wait for, if one is under way whose answer may be for `name`.
    pub(super) fn join(&self, name: &Name) -> Option<watch::Receiver<Option<Outcome>>> {
        self.runs.get(&self.run_for(name)).cloned()
    }

    /// A run for `name` starts; it is known by the key.
    pub(super) fn begin(&mut self, name: &Name, run: watch::Receiver<Option<Outcome>>) -> Key {
        let key = self.run_for(name);
        self.runs.insert(key.clone(), run);
        key
    }

    /// The run that is known by `run` has ended.
    pub(super) fn end(&mut self, run: Key, Outcome { asked, told }: &Outcome, now: Instant) {
        self.runs.remove(&run);
        let (key, good) = match told {
            Ok(answer) => {
                self.reach = Some(answer.reach);
                (answer.reach.of(asked), answer.good)
            }
            Err(_) => (run, FAILURES_REMEMBERED),
        };
        self.told.retain(|_, told| now < told.until);
        if self.told.len() >= REMEMBERED {
            let soonest = self.told.iter().min_by_key(|(_, told)| told.until).map(|(key, _)| key.clone());
            soonest.map(|key| self.told.remove(&key));
        }
        if !good.is_zero() {
            self.told.insert(key, Told { told: told.clone(), until: now + good.min(LONGEST) });
        }
    }

    /// Forgets runs that ended without a word.
    pub(super) fn forget_lost(&mut self) {
        self.runs.retain(|_, run| run.has_changed().is_ok());
    }

    /// Who waits for the same run: by default all of a registry, since most providers answer for that.
    fn run_for(&self, name: &Name) -> Key {
        self.reach.unwrap_or(Reach::Registry).of(name)
    }
}

/// Answers of one provider that are remembered.
const REMEMBERED: usize = 1000;
/// How long an answer is remembered at most, whatever it says.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long a provider that has failed is not asked again.
const FAILURES_REMEMBERED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::credentials::keyring::Keyring;

    const SECOND: Duration = Duration::from_secs(1);

    fn told(image: &str, reach: Reach, good: Duration) -> Outcome {
        let answer = Answer { reach, keyring: Keyring::default(), good };
        Outcome { asked: Name::new("reg.example", image), told: Ok(Arc::new(answer)) }
    }

    fn failed(image: &str) -> Outcome {
        Outcome { asked: Name::new("reg.example", image), told: Err(Failure::TooLong) }
    }

    impl Memory {
        fn hear(&mut self, outcome: &Outcome, now: Instant) {
            let key = self.begin(&outcome.asked, watch::channel(None).1);
            self.end(key, outcome, now);
        }

        /// Whether an answer, or a failure, counts for `image`.
        fn knows(&self, image: &str, now: Instant) -> Option<bool> {
            self.look(&Name::new("reg.example", image), now).map(|told| told.is_ok())
        }
    }

    #[test]
    fn an_answer_counts_for_as_long_as_it_says_and_no_longer_than_a_day() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.hear(&told("a", Reach::Image, 5 * SECOND), now);
        memory.hear(&told("b", Reach::Image, 1_000_000 * SECOND), now);
        assert_eq!((memory.knows("a", now + 4 * SECOND), memory.knows("a", now + 5 * SECOND)), (Some(true), None));
        let day = 24 * 3600 * SECOND;
        assert_eq!((memory.knows("b", now + day - SECOND), memory.knows("b", now + day)), (Some(true), None));
    }

    #[test]
    fn a_failure_counts_for_ten_seconds_and_for_those_who_would_share_a_run() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.hear(&failed("a"), now);
        assert_eq!((memory.knows("b", now + 9 * SECOND), memory.knows("b", now + 10 * SECOND)), (Some(false), None));
        let mut memory = Memory::default();
        memory.hear(&told("a", Reach::Image, 5 * SECOND), now);
        memory.hear(&failed("b"), now);
        assert_eq!((memory.knows("b", now), memory.knows("c", now)), (Some(false), None));
        assert_eq!(memory.knows("a", now), Some(true), "an answer that is still good outlives a failure");
    }

    #[test]
    fn a_thousand_answers_are_kept_and_none_past_its_time() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for image in 0..REMEMBERED as u64 + 10 {
            let good = Duration::from_secs(10 + image);
            memory.hear(&told(&image.to_string(), Reach::Image, good), now);
        }
        assert_eq!(memory.told.len(), REMEMBERED);
        assert_eq!((memory.knows("9", now), memory.knows("10", now)), (None, Some(true)), "the soonest go first");
        memory.hear(&told("new", Reach::Image, SECOND), now + 2000 * SECOND);
        assert_eq!(memory.told.len(), 1);
    }
}

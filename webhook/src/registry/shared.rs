//! Joins equal questions without giving up freshness.
//!
//! A caller takes part only in a request that starts after its own arrival: so what it is told is never from before
//! a push that had finished by then. Whoever arrives while a request is under way waits for the next one, together with
//! all others who do; that one starts when the current one ends or has run for [`OVERLAP`], so that a connection that
//! stalls does not hold up a tag.
//!
//! What a registry said is remembered: for as long as `pin.maxAge` allows instead of asking, and for as long as
//! `pin.lastKnownGood` allows where it cannot be asked.

mod line;
mod memory;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};
use tokio_util::task::TaskTracker;

pub use self::memory::{Ages, Memory};
use self::{line::Line, memory::Said};
use super::{Error, LastKnown, Question, Resolve};
use crate::{
    config::Config,
    image::Digest,
    telemetry::{Metrics, outcome::Answer},
};

/// Shares questions to `R` among callers, and repeats answers for as long as their [`Ages`] allow.
#[derive(Debug)]
pub struct Shared<R> {
    desk: Arc<Desk<R>>,
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
}

impl<R: Resolve> Shared<R> {
    /// Shares questions to `resolve`; an answer is used again while the request for it started less than `max_age` ago.
    pub fn new(resolve: R, max_age: Duration) -> Self {
        let ages = Ages { max_age, ..Ages::default() };
        Self::remembering(resolve, ages, Memory::of(&Config::default()), Arc::default())
    }

    /// The same, and what a registry said is in `memory`.
    pub fn remembering(resolve: R, ages: Ages, memory: Memory, metrics: Arc<Metrics>) -> Self {
        let desk = Desk { resolve, ages, memory, queues: Mutex::default() };
        Self { desk: Arc::new(desk), tasks: TaskTracker::new(), metrics }
    }

    /// What registries said, also to those who share it by another set of rules.
    pub fn memory(&self) -> &Memory {
        &self.desk.memory
    }

    /// What answers the questions.
    pub fn inner(&self) -> &R {
        &self.desk.resolve
    }

    /// Waits for the requests that are under way; each of them ends by its callers' deadline.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// An answer to this question, or to an equal one that spells the image otherwise.
    async fn answer(&self, question: &Question<'_>, deadline: std::time::Instant) -> Result<Digest, Error> {
        let arrived = Instant::now();
        let key = question.key();
        if let Some(answer) = self.desk.remembered(&key, arrived) {
            self.metrics.registries.answer(if answer.is_ok() { Answer::Remembered } else { Answer::Negative });
            return answer;
        }
        let limit = deadline.saturating_duration_since(arrived.into_std());
        let timed_out = || Err(Error::timed_out(question.image, limit));
        if limit.is_zero() {
            return timed_out();
        }
        let (mut told, kind) = self.join(key.into_owned(), question, deadline.into());
        self.metrics.registries.answer(kind);
        let told = time::timeout_at(deadline.into(), told.wait_for(Option::is_some)).await;
        told.ok().and_then(Result::ok).and_then(|told| told.clone()).unwrap_or_else(timed_out)
    }

    /// Takes part in the next request for `key`; whether it is another's.
    fn join(&self, key: String, question: &Question<'_>, deadline: Instant) -> (watch::Receiver<Told>, Answer) {
        let mut queues = self.desk.queues();
        if let Some(queue) = queues.get_mut(&key) {
            queue.wake.notify_one();
            let kind = if queue.next.is_some() { Answer::Joined } else { Answer::Asked };
            return (queue.next.get_or_insert_with(|| Batch::new(deadline)).join(deadline), kind);
        }
        let mut batch = Batch::new(deadline);
        let told = batch.join(deadline);
        let wake = Arc::new(Notify::new());
        queues.insert(key.clone(), Queue { next: Some(batch), wake: Arc::clone(&wake) });
        drop(queues);
        self.tasks.spawn(Line::new(Arc::clone(&self.desk), key, question, wake).run());
        (told, Answer::Asked)
    }
}

impl<R: Resolve> Resolve for Shared<R> {
    async fn resolve(&self, question: &Question<'_>, deadline: std::time::Instant) -> Result<Digest, Error> {
        self.answer(question, deadline).await.map_err(|error| error.about(question.image))
    }

    fn last_known(&self, question: &Question<'_>) -> Option<LastKnown> {
        let said = self.desk.memory.last(&question.key())?;
        self.desk.ages.last_known(said, Instant::now())
    }
}

/// Where callers meet requests.
#[derive(Debug)]
struct Desk<R> {
    resolve: R,
    ages: Ages,
    memory: Memory,
    /// By [`Question::key`]. An entry lives as long as its line, which ends when nobody asks any more.
    queues: Mutex<HashMap<String, Queue>>,
}

impl<R> Desk<R> {
    fn queues(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said before, if it is fresh enough.
    fn remembered(&self, key: &str, arrived: Instant) -> Option<Result<Digest, Error>> {
        if self.ages.max_age.is_zero() {
            return None;
        }
        let Said { asked, answer } = self.memory.last(key)?;
        self.ages.serve(&answer, asked, arrived).then_some(answer)
    }

    fn remember(&self, key: &str, asked: Instant, answer: &Result<Digest, Error>) {
        if self.ages.remember() {
            self.memory.remember(key, Said { asked, answer: answer.clone() });
        }
    }
}

/// Who waits for the next request of a key.
#[derive(Debug)]
struct Queue {
    next: Option<Batch>,
    wake: Arc<Notify>,
}

/// Callers who share one request.
#[derive(Debug)]
struct Batch {
    answer: watch::Sender<Told>,
    /// The latest deadline of any of them.
    deadline: Instant,
    /// When the last of them arrived.
    arrived: Instant,
}

/// What a caller is told, once it is known.
type Told = Option<Result<Digest, Error>>;

impl Batch {
    fn new(deadline: Instant) -> Self {
        Self { answer: watch::Sender::new(None), deadline, arrived: Instant::now() }
    }

    fn join(&mut self, deadline: Instant) -> watch::Receiver<Told> {
        self.deadline = self.deadline.max(deadline);
        self.arrived = Instant::now();
        self.answer.subscribe()
    }

    /// Whether anybody still waits.
    fn waits(&self) -> bool {
        self.answer.receiver_count() > 0
    }
}

/// How long a request runs before the next one starts beside it.
const OVERLAP: Duration = Duration::from_millis(250);
/// How long a request runs before another one starts for the same callers.
const STALLED: Duration = Duration::from_secs(1);
/// Requests of one key that run at the same time.
const IN_FLIGHT: usize = 4;

#[cfg(test)]
mod tests;

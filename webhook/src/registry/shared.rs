//! Joins equal questions without giving up freshness.
//!
//! A caller takes part only in a request that starts after its own arrival: so what it is told is never from before
//! a push that had finished by then. Whoever arrives while a request is under way waits for the next one, together with
//! all others who do; that one starts when the current one ends or has run for [`OVERLAP`], so that a connection that
//! stalls does not hold up a tag.

mod line;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};
use tokio_util::task::TaskTracker;

use self::line::Line;
use super::{Error, Question, Resolve};
use crate::image::Digest;

/// Shares questions to `R` among callers, and answers for as long as `maxAge` allows.
#[derive(Debug)]
pub struct Shared<R> {
    desk: Arc<Desk<R>>,
    tasks: TaskTracker,
}

impl<R: Resolve> Shared<R> {
    /// Shares questions to `resolve`; an answer is used again while the request for it started less than `max_age` ago.
    pub fn new(resolve: R, max_age: Duration) -> Self {
        let answers = Cache::builder().max_capacity(REMEMBERED).time_to_live(max_age.max(SHORTEST)).build();
        let desk = Desk { resolve, max_age, queues: Mutex::default(), answers };
        Self { desk: Arc::new(desk), tasks: TaskTracker::new() }
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

    /// Takes part in the next request for `key`.
    fn join(&self, key: String, question: &Question<'_>, deadline: Instant) -> watch::Receiver<Told> {
        let mut queues = self.desk.queues();
        if let Some(queue) = queues.get_mut(&key) {
            queue.wake.notify_one();
            return queue.next.get_or_insert_with(|| Batch::new(deadline)).join(deadline);
        }
        let mut batch = Batch::new(deadline);
        let told = batch.join(deadline);
        let wake = Arc::new(Notify::new());
        queues.insert(key.clone(), Queue { next: Some(batch), wake: Arc::clone(&wake) });
        drop(queues);
        self.tasks.spawn(Line::new(Arc::clone(&self.desk), key, question, wake).run());
        told
    }
}

impl<R: Resolve> Resolve for Shared<R> {
    async fn resolve(&self, question: &Question<'_>, deadline: std::time::Instant) -> Result<Digest, Error> {
        let arrived = Instant::now();
        let key = question.key();
        if let Some(digest) = self.desk.remembered(&key, arrived) {
            return Ok(digest);
        }
        let limit = deadline.saturating_duration_since(arrived.into_std());
        let timed_out = || Err(Error::timed_out(question.image, limit));
        if limit.is_zero() {
            return timed_out();
        }
        let mut told = self.join(key.into_owned(), question, deadline.into());
        let told = time::timeout_at(deadline.into(), told.wait_for(Option::is_some)).await;
        told.ok().and_then(Result::ok).and_then(|told| told.clone()).unwrap_or_else(timed_out)
    }
}

/// Where callers meet requests.
#[derive(Debug)]
struct Desk<R> {
    resolve: R,
    max_age: Duration,
    /// By [`Question::key`]. An entry lives as long as its line, which ends when nobody asks any more.
    queues: Mutex<HashMap<String, Queue>>,
    answers: Cache<String, Answer>,
}

impl<R> Desk<R> {
    fn queues(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, key: &str, arrived: Instant) -> Option<Digest> {
        if self.max_age.is_zero() {
            return None;
        }
        self.answers.get(key).filter(|answer| self.satisfies(answer.asked, arrived)).map(|answer| answer.digest)
    }

    /// The rule of `maxAge`: whether the answer to a request that started at `asked` is fresh enough for `arrived`.
    fn satisfies(&self, asked: Instant, arrived: Instant) -> bool {
        arrived < asked + self.max_age
    }

    /// Remembers the newest answer; a denial ends what was remembered.
    fn remember(&self, key: &str, asked: Instant, answer: &Result<Digest, Error>) {
        match answer {
            _ if self.max_age.is_zero() => {}
            Ok(digest) => {
                if self.answers.get(key).is_none_or(|known| known.asked < asked) {
                    self.answers.insert(key.to_owned(), Answer { asked, digest: digest.clone() });
                }
            }
            Err(Error::NotFound { .. } | Error::Unauthorized { .. } | Error::Forbidden { .. }) => {
                self.answers.invalidate(key)
            }
            Err(_) => {}
        }
    }
}

/// A good answer.
#[derive(Clone, Debug)]
struct Answer {
    asked: Instant,
    digest: Digest,
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

/// Answers that are remembered.
const REMEMBERED: u64 = 10_000;
/// Shortest life of an answer in memory, for a `maxAge` of zero, where none is stored.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long a request runs before the next one starts beside it.
const OVERLAP: Duration = Duration::from_millis(250);
/// How long a request runs before another one starts for the same callers.
const STALLED: Duration = Duration::from_secs(1);
/// Requests of one key that run at the same time.
const IN_FLIGHT: usize = 4;

#[cfg(test)]
mod tests;

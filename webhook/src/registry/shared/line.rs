//! The requests for one key, one after the other and at most four side by side, until nobody asks any more.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use super::{Batch, Desk, IN_FLIGHT, OVERLAP, STALLED};
use crate::{
    image::{Digest, Reference},
    registry::{Candidates, Error, Question, Resolve, Role},
};

/// A task that owns all requests for one key: a caller that goes away takes nobody's request with it.
pub(super) struct Line<R> {
    desk: Arc<Desk<R>>,
    key: String,
    image: Reference,
    candidates: Candidates,
    role: Role,
    wake: Arc<Notify>,
    running: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// The numbers of the requests that are running.
    in_flight: Vec<u64>,
    /// The number of the latest request; the first is 1.
    latest: u64,
    /// When the latest request started.
    started: Instant,
    /// Callers without an answer, with the number of the first request that started after their arrival.
    waiting: Vec<(u64, Batch)>,
}

/// How a request ended.
struct Outcome {
    number: u64,
    asked: Instant,
    answer: Result<Digest, Error>,
}

impl<R: Resolve> Line<R> {
    pub(super) fn new(desk: Arc<Desk<R>>, key: String, question: &Question<'_>, wake: Arc<Notify>) -> Self {
        let (image, candidates, role) = (question.image.clone(), question.candidates.clone(), question.role);
        let (running, in_flight, waiting) = (FuturesUnordered::new(), Vec::new(), Vec::new());
        Self {
            desk,
            key,
            image,
            candidates,
            role,
            wake,
            running,
            in_flight,
            latest: 0,
            started: Instant::now(),
            waiting,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let free = self.in_flight.len() < IN_FLIGHT;
            if free && self.latest_is_past(OVERLAP) {
                if let Some(batch) = self.next() {
                    self.waiting.push((self.latest + 1, batch));
                    self.start();
                } else if self.in_flight.is_empty() {
                    return;
                } else if self.started + STALLED <= Instant::now()
                    && self.waiting.iter().any(|(_, batch)| batch.waits())
                {
                    self.start();
                }
            }
            let timer = self.timer();
            tokio::select! {
                Some(outcome) = self.running.next() => self.end(outcome),
                () = self.wake.notified() => {} // somebody came
                () = time::sleep_until(timer.unwrap_or(self.started)), if timer.is_some() => {}
            }
        }
    }

    /// Whether the latest request has ended, or has run for so long that it may have stalled.
    fn latest_is_past(&self, limit: Duration) -> bool {
        !self.in_flight.contains(&self.latest) || self.started + limit <= Instant::now()
    }

    /// When to look again whether a request may start, if nothing happens before.
    fn timer(&self) -> Option<Instant> {
        let later = [OVERLAP, STALLED].map(|limit| self.started + limit).into_iter();
        later.filter(|_| self.in_flight.len() < IN_FLIGHT).find(|time| Instant::now() < *time)
    }

    /// The callers for the next request; where there are none and nothing is running, the key is given up.
    fn next(&self) -> Option<Batch> {
        let mut queues = self.desk.queues();
        let batch = queues.get_mut(&self.key).and_then(|queue| queue.next.take()).filter(Batch::waits);
        if batch.is_none() && self.in_flight.is_empty() {
            queues.remove(&self.key);
        }
        batch
    }

    fn start(&mut self) {
        self.latest += 1;
        self.started = Instant::now();
        self.in_flight.push(self.latest);
        let deadline = self.waiting.iter().map(|(_, batch)| batch.deadline).max().unwrap_or(self.started);
        let (desk, number, asked) = (Arc::clone(&self.desk), self.latest, self.started);
        let (image, candidates, role) = (self.image.clone(), self.candidates.clone(), self.role);
        let ask = async move {
            let question = Question { image: &image, candidates: &candidates, role };
            let answer = desk.resolve.resolve(&question, deadline.into_std());
            let answer = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| Err(panicked(&image)));
            Outcome { number, asked, answer }
        };
        self.running.push(ask.boxed());
    }

    /// Tells all callers for whom the answer is fresh enough.
    fn end(&mut self, Outcome { number, asked, answer }: Outcome) {
        self.in_flight.retain(|running| *running != number);
        self.desk.remember(&self.key, asked, &answer);
        // A failure on the way says nothing about the image: a request beside this one may still succeed.
        let transient = matches!(answer, Err(Error::Unreachable { .. } | Error::TimedOut { .. }));
        let (desk, in_flight) = (&self.desk, &self.in_flight);
        let fresh = |batch: &Batch| desk.ages.serve(&answer, asked, batch.arrived);
        let last = |first: u64| !transient || !in_flight.iter().any(|running| *running >= first);
        self.waiting.retain(|(first, batch)| {
            let told = (*first <= number && last(*first)) || fresh(batch);
            if told {
                batch.answer.send_replace(Some(answer.clone()));
            }
            !told
        });
        let next = desk.queues().get_mut(&self.key).and_then(|queue| queue.next.take_if(|batch| fresh(batch)));
        if let Some(batch) = next {
            batch.answer.send_replace(Some(answer));
        }
    }
}

fn panicked(image: &Reference) -> Error {
    Error::unreachable(image, "a mistake in Berth ended the question".to_owned())
}

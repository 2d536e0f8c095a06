//! Which registries are well enough to be asked, and how many questions each gets at the same time.
//!
//! A host that fails is left alone for a while, so that it costs a review nothing and is not kept down by Berth. One
//! that asks to be left alone is, by those to whom it said so. Other hosts never notice.

mod breaker;
mod host;

use std::{sync::Arc, time::Duration};

use moka::{Entry, sync::Cache};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use self::{
    breaker::{Event, FIRST_PAUSE, LONGEST_PAUSE, WINDOW, shortened},
    host::Host,
};
use super::{Error, Question, Role, chance::chance};
use crate::{image::Digest, telemetry::Metrics};

/// What is known of the hosts that were asked lately.
#[derive(Debug)]
pub(super) struct Health {
    hosts: Cache<String, Arc<Host>>,
    /// By host and credentials: a limited rate is somebody's own.
    pauses: Cache<String, Pause>,
    metrics: Arc<Metrics>,
}

/// A host asked to be left alone.
#[derive(Clone, Debug)]
struct Pause {
    until: Instant,
    /// How long the next one is where the host does not say.
    next_guess: Duration,
    /// What it said, in words without its name.
    last: String,
}

impl Health {
    /// Knows of no host yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            hosts: Cache::builder().max_capacity(HOSTS).time_to_idle(IDLE).build(),
            pauses: Cache::builder().max_capacity(PAUSES).time_to_live(PAUSE_REMEMBERED).build(),
            metrics,
        }
    }

    /// Waits for leave to ask `question`. Who stops waiting, or drops the turn, leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Paused`], at once, where its host is not to be asked now.
    pub(super) async fn turn(&self, question: &Question<'_>) -> Result<Turn<'_>, Error> {
        let name = question.image.host();
        let key = [name, " ", question.candidates.key().unwrap_or_default()].concat();
        let host = self.host(name);
        self.check_pause(&key, name)?;
        host.check(Instant::now())?;
        let place = host.place().await;
        self.check_pause(&key, name)?; // much may have happened while this one waited
        let probe = host.enter(Instant::now())?;
        Ok(Turn { health: self, host, key, role: question.role, probe, since: Instant::now(), _place: place })
    }

    fn host(&self, name: &str) -> Arc<Host> {
        self.hosts.get(name).unwrap_or_else(|| {
            self.hosts.get_with_by_ref(name, || Arc::new(Host::new(name, self.metrics.registries.host(name))))
        })
    }

    fn check_pause(&self, key: &str, name: &str) -> Result<(), Error> {
        let Some(pause) = self.pauses.get(key) else { return Ok(()) };
        let again_in = pause.until.saturating_duration_since(Instant::now());
        if again_in.is_zero() {
            Ok(())
        } else {
            Err(Error::Paused { host: name.to_owned(), last: pause.last, again_in })
        }
    }

    /// The host said `error`, and asked to be left alone for `asked`, if it said how long.
    fn pause(&self, key: &str, host: &str, error: &Error, asked: Option<Duration>) {
        let (now, last) = (Instant::now(), error.without(host));
        let asked = asked.map(|asked| now + lengthened(asked.min(LONGEST_ASKED)));
        self.pauses.entry_by_ref(key).and_upsert_with(|before| match before.map(Entry::into_value) {
            // It was asked before it said so.
            Some(pause) if now < pause.until => {
                Pause { until: asked.map_or(pause.until, |asked| asked.max(pause.until)), last, ..pause }
            }
            before => {
                let guess = before.map_or(FIRST_PAUSE, |pause| pause.next_guess);
                let until = asked.unwrap_or_else(|| now + shortened(guess, chance()));
                Pause { until, next_guess: (guess * 2).min(LONGEST_PAUSE), last }
            }
        });
    }

    /// A question that was asked at `since` was answered. Only after a pause does that end it.
    fn answered(&self, key: &str, since: Instant) {
        if self.pauses.get(key).is_some_and(|pause| pause.until <= since) {
            self.pauses.invalidate(key);
        }
    }
}

/// Leave to ask a host one question. It holds one of the host's places while it lives.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    health: &'a Health,
    host: Arc<Host>,
    /// Of the pauses.
    key: String,
    role: Role,
    /// All others wait for what comes of this one.
    probe: bool,
    since: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

impl Turn<'_> {
    /// The question was answered so.
    pub(super) fn end(mut self, answer: &Result<Digest, Error>) {
        let error = answer.as_ref().err();
        if let Some(event) = self.event(error) {
            self.host.happened(event, error, Instant::now());
            self.probe = false; // it has been decided
        }
        match error {
            None => self.health.answered(&self.key, self.since),
            Some(error @ Error::TooMany { host, retry_after }) => {
                self.health.pause(&self.key, host, error, *retry_after);
            }
            Some(error @ Error::Busy { host, retry_after }) => {
                self.health.pause(&self.key, host, error, Some(*retry_after));
            }
            Some(_) => {}
        }
    }

    /// What the answer says about the host; nothing where it had too little time.
    fn event(&self, error: Option<&Error>) -> Option<Event> {
        let (probe, mirror, waited) = (self.probe, self.role == Role::Mirror, self.since.elapsed());
        let failed = |silence| Some(Event::Failed { probe, alone: mirror.then_some(silence) });
        match error {
            Some(Error::TimedOut { .. }) if !mirror && waited < PATIENCE => None,
            Some(Error::TimedOut { .. }) => failed(waited), // the next one would cost another wait
            Some(Error::Unreachable { .. } | Error::Busy { .. }) => failed(WINDOW),
            Some(Error::Paused { .. }) => None,
            None
            | Some(
                Error::NotAllowed { .. }
                | Error::TooMany { .. }
                | Error::NoCredentials { .. }
                | Error::Unauthorized { .. }
                | Error::Forbidden { .. }
                | Error::TokenRefused { .. }
                | Error::NotFound { .. }
                | Error::Untrusted { .. },
            ) => Some(Event::Answered { probe }),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.host.happened(Event::ProbeAbandoned, None, Instant::now());
        }
    }
}

/// What a host asked for, and up to a tenth more.
fn lengthened(asked: Duration) -> Duration {
    asked.mul_f64(1.0 + chance() / 10.0)
}

/// Hosts that are remembered.
const HOSTS: u64 = 1_000;
/// How long a host is remembered that nobody asks.
const IDLE: Duration = Duration::from_secs(600);
/// Pauses that are remembered.
const PAUSES: u64 = 1_000;
/// How long a pause is remembered, so that the next one is longer where the host does not say.
const PAUSE_REMEMBERED: Duration = Duration::from_secs(120);
/// How long a host is left alone at most because it asked for it.
const LONGEST_ASKED: Duration = Duration::from_secs(60);
/// How long a host must have had before its silence counts against it. Where there is another way, any time counts.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

//! One host: its places and its breaker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::breaker::{Breaker, Event, Pass, State};
use crate::{
    registry::{Error, chance::chance},
    telemetry::{HostGauges, outcome},
};

/// What is known of one host.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    places: Arc<Semaphore>,
    past: Mutex<Past>,
    gauges: HostGauges,
}

#[derive(Debug, Default)]
struct Past {
    breaker: Breaker,
    /// How it failed last, in words without its name.
    last: String,
}

impl Host {
    pub(super) fn new(name: &str, gauges: HostGauges) -> Self {
        Self { name: name.to_owned(), places: Arc::new(Semaphore::new(AT_ONCE)), past: Mutex::default(), gauges }
    }

    /// Waits for one of its places.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.gauges.waiting();
        self.places.clone().acquire_owned().await.ok() // it is never closed
    }

    /// Whether it may be asked.
    pub(super) fn check(&self, now: Instant) -> Result<(), Error> {
        self.past().pass(&self.name, now).map(drop)
    }

    /// The same for a question that goes out now; whether it is the one that all others wait for.
    pub(super) fn enter(&self, now: Instant) -> Result<bool, Error> {
        let mut past = self.past();
        let probe = past.pass(&self.name, now)? == Pass::Probe;
        if probe {
            self.change(&mut past, Event::ProbeStarted, now);
        }
        Ok(probe)
    }

    /// A question ended.
    pub(super) fn happened(&self, event: Event, error: Option<&Error>, now: Instant) {
        let mut past = self.past();
        if let (Event::Failed { .. }, Some(error)) = (event, error) {
            past.last = error.without(&self.name);
        }
        self.change(&mut past, event, now);
    }

    fn change(&self, past: &mut Past, event: Event, now: Instant) {
        past.breaker = std::mem::take(&mut past.breaker).after(event, now.into_std(), chance());
        self.gauges.breaker(match past.breaker.state() {
            State::Closed => None,
            State::Open { .. } => Some(outcome::Breaker::Open),
            State::HalfOpen { .. } => Some(outcome::Breaker::HalfOpen),
        });
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    fn pass(&self, host: &str, now: Instant) -> Result<Pass, Error> {
        match self.breaker.pass(now.into_std()) {
            Pass::Wait(again_in) => Err(Error::Paused { host: host.to_owned(), last: self.last.clone(), again_in }),
            pass => Ok(pass),
        }
    }
}

/// Questions to one host under way at the same time.
pub(super) const AT_ONCE: usize = 64;

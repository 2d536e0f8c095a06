//! The thin loop around the plan: wake, read, do one thing, read again.

mod act;
mod alarm;
mod pace;
mod tell;

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::future::{self, Either};
use kube::Client;
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use self::{act::Act, pace::Pace, tell::Teller};
use crate::{
    Error, Observer, Subject,
    plan::{self, Action},
    settings::{Settings, Source},
    state::State,
    store::{Cluster, Store, StoreError},
};

/// Rotates certificates. Two of them at once are harmless: every write is conditional on what was read.
pub struct Manager<S, O> {
    store: S,
    settings: Settings,
    teller: Teller<O>,
    pace: Mutex<Pace>,
}

impl<O: Observer> Manager<Cluster, O> {
    /// A manager of what `settings` name in the cluster of `client`.
    pub fn new(client: Client, settings: Settings, observer: O) -> Self {
        Self::with_store(Cluster::new(client, settings.clone()), settings, observer)
    }
}

impl<S: Store, O: Observer> Manager<S, O> {
    /// A manager of what is in `store`.
    pub fn with_store(store: S, settings: Settings, observer: O) -> Self {
        let teller = Teller::new(&settings, observer);
        Self { store, settings, teller, pace: Mutex::default() }
    }

    /// Where it reads and writes.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Rotates for ever. Failures are told to the observer, and tried again ever more slowly.
    pub async fn run(&self) -> Infallible {
        if self.settings.source == Source::Nobody {
            return future::pending().await;
        }
        let news = Notify::new();
        let follow = pin!(self.store.follow(&news, |error, before| self.teller.unheard(&error, before)));
        let work = pin!(self.work(&news));
        match future::select(follow, work).await {
            Either::Left((never, _)) | Either::Right((never, _)) => never,
        }
    }

    /// Reads everything, and says what is due at `now`. Where only configurations cannot be read, what does not depend on
    /// them is still due: a missing right must not let the leaf expire.
    pub async fn look(&self, now: SystemTime) -> Result<Look, StoreError> {
        let settings = &self.settings;
        let authorities = match settings.source {
            Source::Manager => self.store.secret(&settings.authority_secret).await?,
            Source::Secret | Source::Authorities(_) | Source::Nobody => None,
        };
        let serving = match settings.source {
            Source::Manager | Source::Secret => self.store.secret(&settings.serving_secret).await?,
            Source::Authorities(_) | Source::Nobody => None,
        };
        let (mut configurations, mut unread) = (Vec::new(), Vec::new());
        for name in &settings.configurations {
            match self.store.configuration(name).await {
                Ok(found) => configurations.extend(found.map(|found| (name.clone(), found))),
                Err(error) => unread.push(error),
            }
        }
        let state = State::of(settings, authorities.as_ref(), serving.as_ref(), configurations);
        let state = State { unread: !unread.is_empty(), ..state };
        let look = Look { action: plan::next_action(now, &state, settings), state, now, unread };
        self.teller.looked(&look, settings);
        Ok(look)
    }

    /// Does what is due. Each write is conditional on what `look` saw.
    pub async fn act(&self, look: &Look) -> Result<(), Failure> {
        Act { store: &self.store, settings: &self.settings, teller: &self.teller, look }.run().await
    }

    async fn work(&self, news: &Notify) -> Infallible {
        let mut failures = 0;
        loop {
            match self.turn().await {
                Ok(Turn::Next) => failures = 0,
                Ok(Turn::Paced) => (), // nothing has succeeded yet
                Ok(Turn::Wait { until }) => {
                    failures = 0;
                    alarm::wait(until, news).await;
                    time::sleep(GATHER).await;
                }
                Err(failure) => {
                    self.teller.failed(&failure, failures);
                    let pause = pace::backoff(failures, failure.is_conflict());
                    if failure.is_conflict() {
                        time::sleep(pause).await;
                    } else {
                        // An API server that is back brings news.
                        let news = async {
                            time::sleep(GATHER).await;
                            news.notified().await;
                        };
                        let _late = time::timeout(pause, news).await;
                    }
                    failures += 1;
                }
            }
        }
    }

    /// One look, and what follows from it.
    async fn turn(&self) -> Result<Turn, Failure> {
        let started = SystemTime::now();
        let look = self.look(started).await?;
        if let Action::Wait { until } = look.action {
            return look.unread.into_iter().next().map_or(Ok(Turn::Wait { until }), |error| Err(error.into()));
        }
        let objects = act::objects(&look.action, &self.settings);
        let pause = self.pace.lock().unwrap_or_else(PoisonError::into_inner).pause(&objects, Instant::now());
        if !pause.is_zero() {
            time::sleep(pause).await;
            return Ok(Turn::Paced); // what was read is old by now
        }
        if SystemTime::now().duration_since(started).is_ok_and(|age| age < FRESH) {
            self.pace.lock().unwrap_or_else(PoisonError::into_inner).wrote(objects, Instant::now());
            self.act(&look).await?;
        }
        Ok(Turn::Next)
    }
}

/// What was read, and what follows from it.
#[derive(Debug)]
pub struct Look {
    /// What was read.
    pub state: State,
    /// What is due.
    pub action: Action,
    /// When.
    pub now: SystemTime,
    /// Configurations that could not be read.
    pub unread: Vec<StoreError>,
}

/// What comes after a turn.
enum Turn {
    /// Another look, at once.
    Next,
    /// The same, after a pause in which nothing was done.
    Paced,
    /// Nothing, until an object changes or a moment comes.
    Wait {
        /// The moment.
        until: Option<SystemTime>,
    },
}

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The API server did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was made would not be accepted, or could not be made.
    #[error("no certificate could be issued for {subject}: {why}")]
    Issue {
        /// Where it would stand.
        subject: Subject,
        /// What is wrong with it.
        why: Error,
    },
}

impl Failure {
    /// Whether somebody else was first.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Store(error) => error.is_conflict(),
            Self::Issue { .. } => false,
        }
    }
}

/// Time for several changes to come together.
const GATHER: Duration = Duration::from_millis(200);
/// A machine may have been suspended between a read and a write: what is older is read again.
const FRESH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

//! What stands between a controller and the API server: conflicts, failures, crashes, and sight of things past.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use berth_cert_manager::{
    Subject,
    settings::ConfigurationName,
    store::{Configuration, ConfigurationChange, Fake, Fault, Secret, SecretChange, Store, StoreError},
};
use tokio::sync::Notify;

use crate::dice::Dice;

/// How bad it is, in per cent of all calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Writes at which somebody else seems to have been first.
    pub(crate) conflicts: u64,
    /// Calls without a helpful answer; half of such writes were done all the same.
    pub(crate) failures: u64,
}

/// Which objects a controller sees as they were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frozen {
    pub(crate) authority: bool,
    pub(crate) serving: bool,
    pub(crate) configurations: bool,
}

/// A store as one controller sees it.
pub(crate) struct Door {
    fake: Arc<Fake>,
    dice: Mutex<Dice>,
    weather: Weather,
    /// What is seen instead of the truth.
    frozen: Mutex<Vec<Memory>>,
    /// The role lacks every right to configurations.
    forbidden: AtomicBool,
    /// Nobody answers.
    away: Arc<AtomicBool>,
}

/// An object as it was, or that it was missing.
pub(crate) enum Memory {
    Secret(String, Option<Secret>),
    Configuration(ConfigurationName, Option<Configuration>),
}

impl Door {
    pub(crate) fn new(fake: Arc<Fake>, seed: u64, weather: Weather) -> Self {
        Self {
            fake,
            dice: Mutex::new(Dice::new(seed)),
            weather,
            frozen: Mutex::default(),
            forbidden: AtomicBool::new(false),
            away: Arc::default(),
        }
    }

    /// Nobody answers for as long as this is so.
    pub(crate) fn away(&self) -> Arc<AtomicBool> {
        self.away.clone()
    }

    /// From now on these are seen as they were.
    pub(crate) fn freeze(&self, memories: Vec<Memory>) {
        *self.frozen.lock().unwrap() = memories;
    }

    /// From now on configurations are neither read nor written.
    pub(crate) fn forbid_configurations(&self) {
        self.forbidden.store(true, Ordering::Relaxed);
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap()
    }

    fn read(&self, subject: Subject) -> Result<(), StoreError> {
        if self.forbidden.load(Ordering::Relaxed) && matches!(subject, Subject::Configuration(_)) {
            return Err(StoreError { verb: "get", subject, fault: Fault::Forbidden { said: "403".to_owned() } });
        }
        if self.away.load(Ordering::Relaxed) || self.dice().percent(self.weather.failures) {
            return Err(StoreError { verb: "get", subject, fault: Fault::Unavailable { said: "500".to_owned() } });
        }
        Ok(())
    }

    /// A write, which may meet with anything.
    async fn write(
        &self,
        subject: Subject,
        write: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let (conflict, fails, done) = {
            let mut dice = self.dice();
            (dice.percent(self.weather.conflicts), dice.percent(self.weather.failures), dice.percent(50))
        };
        let failed = |fault| Err(StoreError { verb: "patch", subject, fault });
        match (conflict, fails) {
            (true, _) => failed(Fault::Conflict),
            (false, true) if done => {
                write.await?;
                failed(Fault::Unavailable { said: "the connection broke before the answer".to_owned() })
            }
            (false, true) => failed(Fault::Unavailable { said: "500".to_owned() }),
            (false, false) => write.await,
        }
    }
}

impl Store for Door {
    async fn secret(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        self.read(Subject::Secret(name.to_owned()))?;
        for memory in &*self.frozen.lock().unwrap() {
            match memory {
                Memory::Secret(which, then) if which == name => return Ok(then.clone()),
                _ => (),
            }
        }
        self.fake.secret(name).await
    }

    async fn create_secret(&self, name: &str, kind: &'static str, change: SecretChange) -> Result<(), StoreError> {
        self.write(Subject::Secret(name.to_owned()), self.fake.create_secret(name, kind, change)).await
    }

    async fn change_secret(&self, name: &str, version: &str, change: SecretChange) -> Result<(), StoreError> {
        self.write(Subject::Secret(name.to_owned()), self.fake.change_secret(name, version, change)).await
    }

    async fn configuration(&self, name: &ConfigurationName) -> Result<Option<Configuration>, StoreError> {
        self.read(Subject::Configuration(name.clone()))?;
        for memory in &*self.frozen.lock().unwrap() {
            match memory {
                Memory::Configuration(which, then) if which == name => return Ok(then.clone()),
                _ => (),
            }
        }
        self.fake.configuration(name).await
    }

    async fn change_configuration(
        &self,
        name: &ConfigurationName,
        version: &str,
        change: ConfigurationChange,
    ) -> Result<(), StoreError> {
        let write = self.fake.change_configuration(name, version, change);
        self.write(Subject::Configuration(name.clone()), write).await
    }

    async fn follow(&self, news: &Notify, failed: impl Fn(StoreError, u32) + Send + Sync) -> Infallible {
        self.fake.follow(news, failed).await
    }
}

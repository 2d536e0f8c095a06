//! A provider: a program that gives credentials, asked once for all who wait, and remembered for as long as it allows.

mod kubelet;
mod login;
mod memory;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::ExposeSecret as _;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub(super) use self::login::ARGUMENT as GET;
pub(in crate::registry) use self::memory::Name;
use self::memory::{Memory, Reach};
use super::{
    credential::Fingerprint,
    keyring::Keyring,
    program::{Failure, Program},
    scope::Scope,
};
use crate::config::ProviderVersion;

/// A program that gives credentials.
#[derive(Debug)]
pub(super) struct Provider {
    program: Program,
    speaks: Language,
    /// The images that it is asked about; empty: all.
    scopes: Vec<Scope>,
    memory: Mutex<Memory>,
    /// How many run at the same time, for an answer that is for one image only.
    turns: Semaphore,
    tasks: TaskTracker,
}

/// How a program is spoken to.
#[derive(Clone, Debug)]
pub(in crate::registry) enum Language {
    /// The kubelet's credential provider API.
    Kubelet {
        version: ProviderVersion,
        /// How long an answer is good that does not say.
        default_duration: Duration,
    },
    /// Docker's credential helpers: `PROGRAM get`.
    Docker,
}

impl Language {
    fn request(&self, name: &Name) -> String {
        match self {
            Self::Kubelet { version, .. } => kubelet::request(*version, name),
            Self::Docker => login::request(name),
        }
    }

    /// Reads what a program wrote that was asked about `name` and ended well.
    ///
    /// # Errors
    /// What is wrong, without any of the text: it holds passwords.
    pub(in crate::registry) fn read(&self, text: &[u8], name: &Name) -> Result<Answer, String> {
        match self {
            Self::Kubelet { version, default_duration } => kubelet::read(text, *version, *default_duration),
            Self::Docker => login::read(text, name),
        }
    }
}

/// What a provider said.
#[derive(Debug)]
pub(in crate::registry) struct Answer {
    /// The images that it is for.
    reach: Reach,
    /// None of them may match: then there are no credentials.
    pub(super) keyring: Keyring,
    /// How long it may be used again.
    good: Duration,
}

/// An answer, or why there is none; and the image that was asked for.
#[derive(Clone, Debug)]
struct Outcome {
    asked: Name,
    told: Result<Arc<Answer>, Failure>,
}

impl Outcome {
    /// Whether this is an answer for `name` as well. A failure is one for all who waited.
    fn is_for(&self, name: &Name) -> bool {
        self.told.as_ref().map_or(true, |answer| answer.reach.of(name) == answer.reach.of(&self.asked))
    }
}

impl Provider {
    /// A provider for the images under `scopes`; its runs are tasks of `tasks`.
    pub(super) fn new(program: Program, speaks: Language, scopes: Vec<Scope>, tasks: TaskTracker) -> Self {
        let (memory, turns) = (Mutex::default(), Semaphore::new(AT_ONCE));
        Self { program, speaks, scopes, memory, turns, tasks }
    }

    /// Whether it is asked about this image.
    pub(super) fn covers(&self, name: &Name) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|scope| scope.covers(name.host(), name.path()))
    }

    /// Tells providers apart, whatever they answer.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::all([Fingerprint::over(&[b"provider"]), self.program.fingerprint()].into_iter())
    }

    /// Its credentials for `name`: remembered, or from a run that is shared with all who wait for it.
    ///
    /// A caller that goes away does not end the run.
    pub(super) async fn ask(self: &Arc<Self>, name: &Name) -> Result<Arc<Answer>, Failure> {
        loop {
            let mut run = {
                let mut memory = self.memory();
                if let Some(told) = memory.look(name, Instant::now()) {
                    return told;
                }
                memory.join(name).unwrap_or_else(|| self.start(&mut memory, name))
            };
            let Ok(outcome) = run.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) else {
                self.memory().forget_lost();
                return Err(Failure::Panicked);
            };
            // Else it was for another image, and now it is known how far its answers reach.
            if let Some(Outcome { told, .. }) = outcome.filter(|outcome| outcome.is_for(name)) {
                return told;
            }
        }
    }

    /// Starts a run as a task of its own.
    fn start(self: &Arc<Self>, memory: &mut Memory, name: &Name) -> watch::Receiver<Option<Outcome>> {
        let (tell, run) = watch::channel(None);
        let key = memory.begin(name, run.clone());
        let (provider, name) = (Arc::clone(self), name.clone());
        self.tasks.spawn(async move {
            let _turn = provider.turns.acquire().await;
            let told = provider.run(&name).await.map(Arc::new);
            if let Err(failure) = &told {
                warn!(provider = %provider, image = name.text(), "a credential provider {failure}");
            }
            let outcome = Outcome { asked: name, told };
            provider.memory().end(key, &outcome, Instant::now());
            tell.send_replace(Some(outcome));
        });
        run
    }

    async fn run(&self, name: &Name) -> Result<Answer, Failure> {
        let output = self.program.run(self.speaks.request(name).as_bytes()).await?;
        let stdout = output.stdout.expose_secret();
        if output.good {
            self.speaks.read(stdout, name).map_err(Failure::Answer)
        } else if matches!(self.speaks, Language::Docker) && login::is_unknown(stdout) {
            Ok(login::nothing())
        } else {
            Err(Failure::Status(output.status))
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of its program's file.
impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.program.path;
        write!(formatter, "{}", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().escape_debug())
    }
}

/// Runs of one provider at the same time.
const AT_ONCE: usize = 8;

#[cfg(test)]
mod tests;

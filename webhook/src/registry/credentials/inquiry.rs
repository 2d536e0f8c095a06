//! Asking providers for the credentials of one image.

use std::{fmt, sync::Arc};

use futures::future;
use tokio::time::{self, Instant};

use super::{
    credential::{Credential, Fingerprint},
    keyring::Keyring,
    program::Failure,
    provider::{Name, Provider},
};

/// Providers, and the image to ask them about.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Inquiry {
    providers: Vec<Arc<Provider>>,
    name: Name,
}

impl Inquiry {
    /// None where there is nobody to ask.
    pub(super) fn new(providers: Vec<Arc<Provider>>, name: Name) -> Option<Self> {
        (!providers.is_empty()).then_some(Self { providers, name })
    }

    /// Tells inquiries apart by whom they ask, not by what is answered: passwords change.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::all(self.providers.iter().map(|provider| provider.fingerprint()))
    }

    /// The credentials of all providers together, in the kubelet's order; none where they have none. Each is waited
    /// for until `patience`.
    ///
    /// # Errors
    /// The first failure, where no provider gave any.
    pub(super) async fn credentials(&self, patience: Instant) -> Result<Vec<Credential>, Unanswered> {
        let started = Instant::now();
        let answers = self.providers.iter().map(async |provider| {
            let answer = time::timeout_at(patience, provider.ask(&self.name)).await;
            answer.unwrap_or_else(|_| Err(Failure::Late(started.elapsed())))
        });
        let answers = future::join_all(answers).await;
        let mut keyring = Keyring::default();
        let mut failed = None;
        for (provider, answer) in self.providers.iter().zip(answers) {
            match answer {
                Ok(answer) => keyring.extend(&answer.keyring),
                Err(failure) => {
                    failed.get_or_insert_with(|| Unanswered { provider: provider.to_string(), failure });
                }
            }
        }
        let found: Vec<_> = keyring.matching(self.name.host(), self.name.path()).cloned().collect();
        match failed {
            Some(failed) if found.is_empty() => Err(failed),
            _ => Ok(found),
        }
    }
}

/// A provider that gave no answer; it is in the log, with more words.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Unanswered {
    provider: String,
    failure: Failure,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.provider, self.failure)
    }
}

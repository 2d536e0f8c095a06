//! Credentials: as whom a registry is asked.
//!
//! [`Keychain`] knows where the administrator's credentials are; for one image and one [`Asker`] it gives the
//! [`Candidates`], in the kubelet's order.

mod credential;
mod docker;
mod inquiry;
mod keychain;
mod keyring;
mod program;
mod provider;
mod scope;
mod source;

use std::{borrow::Cow, slice, sync::Arc};

use tokio::time::Instant;

use self::inquiry::Inquiry;
pub(super) use self::{
    credential::{Credential, Fingerprint},
    inquiry::Unanswered,
    provider::{Language, Name},
};
pub use self::{
    docker::Format,
    keychain::{Asker, Keychain},
    keyring::Keyring,
    source::CredentialsError,
};

/// The credentials to try for one image, in order; where none of them is let in, the registry is asked without.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// None: without credentials.
    found: Option<Arc<Found>>,
}

#[derive(Debug)]
struct Found {
    candidates: Vec<Candidate>,
    key: String,
}

impl Candidates {
    /// Without credentials, as a node without any would ask.
    pub fn anonymous() -> Self {
        Self::default()
    }

    fn new(candidates: Vec<Candidate>) -> Self {
        if candidates.is_empty() {
            return Self::default();
        }
        let key = Fingerprint::all(candidates.iter().map(Candidate::fingerprint)).to_string();
        Self { found: Some(Arc::new(Found { candidates, key })) }
    }

    /// Tells candidates apart without showing them; none where there are none.
    pub(super) fn key(&self) -> Option<&str> {
        self.found.as_ref().map(|found| found.key.as_str())
    }

    /// The candidates, in the order in which they are to be tried.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.found.iter().flat_map(|found| &found.candidates)
    }
}

/// Credentials, or where to ask for them when it is their turn.
#[derive(Clone, Debug)]
pub(super) enum Candidate {
    /// They are known.
    Known(Credential),
    /// Providers are asked.
    Asked(Inquiry),
}

impl Candidate {
    /// The credentials themselves, in the order in which they are to be tried; waits until `patience` at most.
    pub(super) async fn credentials(&self, patience: Instant) -> Result<Cow<'_, [Credential]>, Unanswered> {
        match self {
            Self::Known(credential) => Ok(slice::from_ref(credential).into()),
            Self::Asked(inquiry) => Ok(inquiry.credentials(patience).await?.into()),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Known(credential) => credential.fingerprint(),
            Self::Asked(inquiry) => inquiry.fingerprint(),
        }
    }
}

#[cfg(test)]
impl Candidates {
    /// One name and password, for tests.
    pub(in crate::registry) fn of(username: &str, password: &str) -> Self {
        Self::new(vec![Candidate::Known(Credential::password(username, password))])
    }
}

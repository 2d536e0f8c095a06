//! Credentials: as whom a registry is asked.
//!
//! [`Keychain`] knows where the administrator's credentials are; for one image and one [`Asker`] it gives the
//! [`Candidates`], in the kubelet's order.

mod credential;
mod docker;
mod keychain;
mod keyring;
mod scope;

use std::sync::Arc;

pub(super) use self::credential::{Credential, Fingerprint};
pub use self::{
    docker::Format,
    keychain::{Asker, Keychain},
    keyring::{CredentialsError, Keyring},
};

/// The credentials to try for one image, in order; where none of them is let in, the registry is asked without.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// None: without credentials.
    found: Option<Arc<Found>>,
}

#[derive(Debug)]
struct Found {
    credentials: Vec<Credential>,
    key: String,
}

impl Candidates {
    /// Without credentials, as a node without any would ask.
    pub fn anonymous() -> Self {
        Self::default()
    }

    fn new(credentials: Vec<Credential>) -> Self {
        if credentials.is_empty() {
            return Self::default();
        }
        let key = Fingerprint::all(credentials.iter().map(Credential::fingerprint)).to_string();
        Self { found: Some(Arc::new(Found { credentials, key })) }
    }

    /// Tells candidates apart without showing them; none where there are none.
    pub(super) fn key(&self) -> Option<&str> {
        self.found.as_ref().map(|found| found.key.as_str())
    }

    /// The credentials, in the order in which they are to be tried.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.found.iter().flat_map(|found| &found.credentials)
    }
}

#[cfg(test)]
impl Candidates {
    /// One name and password, for tests.
    pub(in crate::registry) fn of(username: &str, password: &str) -> Self {
        Self::new(vec![Credential::password(username, password)])
    }
}

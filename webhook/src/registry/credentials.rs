//! Credentials: as whom a registry is asked.
//!
//! [`Keychain`] knows where the administrator's credentials are; for one image and one [`Asker`] it gives the
//! [`Candidates`], in the kubelet's order.

mod keychain;
mod keyring;

use std::sync::Arc;

use base64::Engine as _;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

pub use keychain::{Asker, Keychain};
pub use keyring::{CredentialsError, Keyring};

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
        let mut hash = Sha256::new();
        for credential in &credentials {
            hash.update(credential.fingerprint().0);
        }
        let key = format!("{:x}", hash.finalize());
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

/// Name and password.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    username: String,
    password: SecretString,
}

impl Credential {
    /// The header `Authorization` of Basic authentication, marked sensitive.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let pair = SecretString::from([&self.username, ":", self.password.expose_secret()].concat());
        let text = base64::engine::general_purpose::STANDARD.encode(pair.expose_secret());
        let mut header = HeaderValue::try_from(["Basic ", &text].concat()).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Tells credentials apart without showing them.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(self.username.len().to_be_bytes());
        hash.update(&self.username);
        hash.update(self.password.expose_secret());
        Fingerprint(hash.finalize().into())
    }
}

/// Stands for a credential in keys of caches.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Fingerprint([u8; 32]);

#[cfg(test)]
impl Fingerprint {
    /// That of some credential, for tests.
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

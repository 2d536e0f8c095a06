//! The administrator's credentials, and whom they serve.

use tokio_util::task::TaskTracker;

use super::{
    Candidates, Keyring,
    provider::Name,
    source::{CredentialsError, Source},
};
use crate::{
    config::{Config, Credentials},
    image::Reference,
};

/// For whom a registry is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The namespace that the review names.
    pub namespace: &'a str,
    /// The caller has proven to be an API server, so that the namespace can be believed.
    pub proven: bool,
    /// What the pull secrets of the Pod hold, if they were read: they are tried first, and for proven callers only.
    pub pull_secrets: Option<&'a Keyring>,
}

/// All credentials that the administrator has given.
#[derive(Debug, Default)]
pub struct Keychain {
    entries: Vec<Entry>,
    /// Callers can prove themselves, so that nothing limited to namespaces serves those who have not.
    provable: bool,
}

/// One entry of `credentials`.
#[derive(Debug)]
struct Entry {
    /// Whom it serves; empty: all.
    namespaces: Vec<String>,
    source: Source,
}

impl Keychain {
    /// The credentials of `config`; reads the files that it names.
    pub fn read(config: &Config) -> Result<Self, CredentialsError> {
        let tasks = TaskTracker::new();
        let entry = |Credentials { namespaces, source }: &Credentials| {
            let source = Source::read(source, &tasks)?;
            Ok(Entry { namespaces: namespaces.clone(), source })
        };
        let entries = config.credentials.iter().map(entry).collect::<Result<_, CredentialsError>>()?;
        Ok(Self { entries, provable: config.pull_secrets.provable() })
    }

    /// The credentials for `image` that may be used for `asker`, in the order in which they are to be tried: those of
    /// the Pod, then the administrator's in the order of the configuration.
    pub fn candidates(&self, image: &Reference, asker: &Asker<'_>) -> Candidates {
        let pull_secrets = asker.pull_secrets.filter(|_| asker.proven);
        if self.entries.is_empty() && pull_secrets.is_none() {
            return Candidates::anonymous();
        }
        let name = Name::new(image.host(), &image.path());
        let mut candidates = pull_secrets.map(|keyring| keyring.candidates(&name)).unwrap_or_default();
        candidates.truncate(MOST_OF_A_POD);
        for entry in self.entries.iter().filter(|entry| self.serves(entry, asker)) {
            candidates.extend(entry.source.candidates(&name));
        }
        Candidates::new(candidates)
    }

    fn serves(&self, entry: &Entry, asker: &Asker<'_>) -> bool {
        let named = entry.namespaces.iter().any(|namespace| namespace == asker.namespace);
        entry.namespaces.is_empty() || (named && (asker.proven || !self.provable))
    }
}

/// Credentials of a Pod that are tried for one image: a tenant writes them, and each is a request to the registry.
const MOST_OF_A_POD: usize = 16;

#[cfg(test)]
mod tests;

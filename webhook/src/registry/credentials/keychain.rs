//! The administrator's credentials, and whom they serve.

use std::slice;

use super::{Candidates, CredentialsError, Keyring};
use crate::{
    config::{Config, CredentialSource},
    image::Reference,
};

/// For whom a registry is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The namespace that the review names.
    pub namespace: &'a str,
    /// The caller has proven to be an API server, so that the namespace can be believed.
    pub proven: bool,
}

/// All credentials that the administrator has given.
#[derive(Debug, Default)]
pub struct Keychain {
    sources: Vec<Source>,
    /// Callers can prove themselves, so that nothing limited to namespaces serves those who have not.
    provable: bool,
}

#[derive(Debug)]
struct Source {
    /// Empty: all.
    namespaces: Vec<String>,
    keyring: Keyring,
}

impl Keychain {
    /// The credentials of `config`; reads the files that it names.
    pub fn read(config: &Config) -> Result<Self, CredentialsError> {
        let mut sources = Vec::new();
        for entry in &config.credentials {
            let CredentialSource::DockerConfig(file) = &entry.source else { continue };
            let keyring = Keyring::read(slice::from_ref(file))?;
            sources.push(Source { namespaces: entry.namespaces.clone(), keyring });
        }
        Ok(Self { sources, provable: config.pull_secrets.provable() })
    }

    /// The credentials for `image` that may be used for `asker`, in the order in which they are to be tried.
    pub fn candidates(&self, image: &Reference, asker: &Asker<'_>) -> Candidates {
        if self.sources.is_empty() {
            return Candidates::anonymous();
        }
        let path = image.path();
        let serving = self.sources.iter().filter(|source| self.serves(source, asker));
        Candidates::new(serving.flat_map(|source| source.keyring.matching(image.host(), &path).cloned()).collect())
    }

    fn serves(&self, source: &Source, asker: &Asker<'_>) -> bool {
        let named = source.namespaces.iter().any(|namespace| namespace == asker.namespace);
        source.namespaces.is_empty() || (named && (asker.proven || !self.provable))
    }
}

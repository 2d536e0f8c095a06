//! The administrator's credentials, and whom they serve.

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
    /// What the pull secrets of the Pod hold, if they were read: they are tried first, and for proven callers only.
    pub pull_secrets: Option<&'a Keyring>,
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
            let keyring = Keyring::read(file)?;
            sources.push(Source { namespaces: entry.namespaces.clone(), keyring });
        }
        Ok(Self { sources, provable: config.pull_secrets.provable() })
    }

    /// The credentials for `image` that may be used for `asker`, in the order in which they are to be tried: those of
    /// the Pod, then the administrator's in the order of the configuration.
    pub fn candidates(&self, image: &Reference, asker: &Asker<'_>) -> Candidates {
        let pull_secrets = asker.pull_secrets.filter(|_| asker.proven);
        if self.sources.is_empty() && pull_secrets.is_none() {
            return Candidates::anonymous();
        }
        let path = image.path();
        let serving = self.sources.iter().filter(|source| self.serves(source, asker)).map(|source| &source.keyring);
        let keyrings = pull_secrets.into_iter().chain(serving);
        Candidates::new(keyrings.flat_map(|keyring| keyring.matching(image.host(), &path).cloned()).collect())
    }

    fn serves(&self, source: &Source, asker: &Asker<'_>) -> bool {
        let named = source.namespaces.iter().any(|namespace| namespace == asker.namespace);
        source.namespaces.is_empty() || (named && (asker.proven || !self.provable))
    }
}

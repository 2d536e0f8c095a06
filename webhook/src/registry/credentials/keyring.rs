//! Credentials by the images that they are for, found the way the kubelet finds them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    credential::Credential,
    docker::{DockerConfig, Format},
    scope::Scope,
};

/// Credentials by the images that they are for.
///
/// # Source
/// Kubernetes 1.36, `pkg/credentialprovider/keyring.go`: `Add`, `Lookup`.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// In the order in which they are tried: by descending key, then as added.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    scope: Scope,
    credential: Credential,
}

impl Keyring {
    /// Reads a Docker configuration file, of either format.
    pub fn read(file: &Path) -> Result<Self, CredentialsError> {
        let unreadable = |source| CredentialsError::Unreadable { file: file.to_owned(), source };
        let text = fs::read(file).map_err(unreadable)?;
        let broken = |reason| CredentialsError::Broken { file: file.to_owned(), reason };
        let config = DockerConfig::parse_file(&text).map_err(broken)?;
        let mut keyring = Self::default();
        for (server, login) in config.auths {
            let scope = Scope::parse_server(&server).map_err(broken)?;
            let credential = login.credential(&server).map_err(broken)?;
            keyring.entries.extend(credential.map(|credential| Entry { scope, credential }));
        }
        keyring.sort();
        Ok(keyring)
    }

    /// Adds what a Secret of a tenant holds, JSON text; programs that it names are not run, and servers that are no
    /// hosts are passed over, as the kubelet does.
    ///
    /// # Errors
    /// What is wrong and where, without any of the text: it holds passwords.
    pub fn add(&mut self, text: &[u8], format: Format) -> Result<(), String> {
        for (server, login) in DockerConfig::parse(text, format)?.auths {
            let credential = login.credential(&server)?;
            let scope = Scope::parse_server(&server).ok();
            self.entries.extend(scope.zip(credential).map(|(scope, credential)| Entry { scope, credential }));
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        self.entries.sort_by(|one, other| other.scope.key().cmp(one.scope.key()));
    }

    /// The credentials for the repository `path` at `host`, in the order in which they are to be tried.
    pub(super) fn matching<'a>(&'a self, host: &'a str, path: &'a str) -> impl Iterator<Item = &'a Credential> {
        let covers = move |entry: &&Entry| entry.scope.covers(host, path);
        // Docker Hub's old address counts only where nothing names the new one.
        let hub = host == DOCKER_HUB && !self.entries.iter().any(|entry| covers(&entry));
        let old = self.entries.iter().filter(move |entry| hub && entry.scope.key() == OLD_DOCKER_HUB);
        self.entries.iter().filter(covers).chain(old).map(|entry| &entry.credential)
    }
}

/// A file with credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// It cannot be read.
    #[error("the credentials file {} cannot be read", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no Docker configuration.
    #[error("the credentials file {} is not a Docker configuration: {reason}", .file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong and where, without any of the text.
        reason: String,
    },
}

/// The host of Docker Hub in references.
const DOCKER_HUB: &str = "docker.io";
/// What `docker login` calls it, without scheme and version.
const OLD_DOCKER_HUB: &str = "index.docker.io";

#[cfg(test)]
mod tests;

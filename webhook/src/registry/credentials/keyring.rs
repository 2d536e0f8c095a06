//! Credentials by the images that they are for, found the way the kubelet finds them.

use super::{
    Candidate,
    credential::Credential,
    docker::{self, Format, Logins},
    provider::Name,
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
    /// A keyring of the logins in a file of the administrator's.
    ///
    /// # Errors
    /// What is wrong, without any of the text: it holds passwords.
    pub(super) fn of_file(logins: Logins) -> Result<Self, String> {
        let mut keyring = Self::default();
        for (server, login) in logins {
            let scope = Scope::parse_server(&server)?;
            if let Some(credential) = login.credential(&server)? {
                keyring.insert(scope, credential);
            }
        }
        Ok(keyring)
    }

    /// Adds what a Secret of a tenant holds, JSON text; programs that it names are not run, and servers that are no
    /// hosts are passed over, as the kubelet does.
    ///
    /// # Errors
    /// What is wrong and where, without any of the text: it holds passwords.
    pub fn add(&mut self, text: &[u8], format: Format) -> Result<(), String> {
        for (server, login) in docker::logins(text, format)? {
            let credential = login.credential(&server)?;
            if let (Ok(scope), Some(credential)) = (Scope::parse_server(&server), credential) {
                self.entries.push(Entry { scope, credential });
            }
        }
        self.sort();
        Ok(())
    }

    /// Adds one credential, behind those that are tried before it.
    pub(super) fn insert(&mut self, scope: Scope, credential: Credential) {
        let after = self.entries.partition_point(|entry| entry.scope.key() >= scope.key());
        self.entries.insert(after, Entry { scope, credential });
    }

    /// Adds all of `other`, each behind those with the same key.
    pub fn extend(&mut self, other: &Self) {
        self.entries.extend(other.entries.iter().cloned());
        self.sort();
    }

    /// Once for all that was added: a tenant's Secret can have thousands, which must not cost their square.
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

    /// The candidates for the image `name`, in that order.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Candidate> {
        self.matching(name.host(), name.path()).cloned().map(Candidate::Known).collect()
    }
}

/// The host of Docker Hub in references.
pub(super) const DOCKER_HUB: &str = "docker.io";
/// What `docker login` calls it, without scheme and version.
pub(super) const OLD_DOCKER_HUB: &str = "index.docker.io";

#[cfg(test)]
mod tests;

//! Credentials from Docker configuration files, found the way the kubelet finds them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tracing::warn;

use super::Credential;
use crate::image::Pattern;

/// Credentials by the images that they are for.
///
/// # Source
/// Kubernetes, `pkg/credentialprovider/keyring.go`: `Add`, `Lookup`, `URLsMatch`.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// In the order in which they are tried: by descending key, then as given.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Host and path, without scheme: `*.example.com:5000/team`.
    key: String,
    /// A pattern per label of the host's name.
    labels: Vec<Pattern>,
    port: Option<String>,
    path: String,
    credential: Credential,
}

impl Keyring {
    /// Reads Docker configuration files (`auths`). Of several, the first file's come first.
    pub fn read(files: &[PathBuf]) -> Result<Self, CredentialsError> {
        let mut keyring = Self::default();
        for file in files {
            let text = fs::read(file).map_err(|source| CredentialsError::Unreadable { file: file.clone(), source })?;
            keyring.add(&text).map_err(|reason| CredentialsError::Broken { file: file.clone(), reason })?;
        }
        Ok(keyring)
    }

    /// Adds what a Docker configuration, as JSON text, holds.
    ///
    /// # Errors
    /// What is wrong and where, without any of the text: it holds passwords.
    pub fn add(&mut self, text: &[u8]) -> Result<(), String> {
        // serde_json quotes what it does not expect, and that may be a password: only the place is told.
        let config: Config = serde_json::from_slice(text).map_err(|error| {
            let problem = if error.is_data() { "a value of the wrong type" } else { "broken JSON" };
            format!("{problem} at line {} column {}", error.line(), error.column())
        })?;
        for (name, fields) in config.auths {
            if fields.identitytoken.is_some_and(|token| !token.is_empty()) {
                warn!(registry = name, "an identity token is not supported yet; this entry is not used");
                continue;
            }
            if let Some(credential) = credential(&name, fields.auth, fields.username, fields.password)? {
                self.entries.push(Entry::new(&name, credential)?);
            }
        }
        self.entries.sort_by(|one, other| other.key.cmp(&one.key));
        Ok(())
    }

    /// The credentials for the repository `path` at `host`, in the order in which they are to be tried.
    pub(in crate::registry) fn matching<'a>(
        &'a self,
        host: &'a str,
        path: &'a str,
    ) -> impl Iterator<Item = &'a Credential> {
        self.entries.iter().filter(move |entry| entry.covers(host, path)).map(|entry| &entry.credential)
    }
}

impl Entry {
    fn new(name: &str, credential: Credential) -> Result<Self, String> {
        let bare = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
        let (host, path) =
            bare.split_once('/').map_or((bare, String::new()), |(host, path)| (host, format!("/{path}")));
        // `/v1/` and `/v2/` say nothing about the repository.
        let path = path
            .strip_prefix("/v1")
            .or_else(|| path.strip_prefix("/v2"))
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(&path);
        let path = if path == "/" { "" } else { path };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let (labels, port) = split_port(host);
        let labels =
            labels.split('.').map(|label| label.parse().map_err(|_| format!("`{}` is no host", name.escape_debug())));
        Ok(Self {
            key: [host, path].concat(),
            labels: labels.collect::<Result<_, _>>()?,
            port: port.map(str::to_owned),
            path: path.to_owned(),
            credential,
        })
    }

    fn covers(&self, host: &str, path: &str) -> bool {
        let (name, port) = split_port(host);
        let mut labels = name.split('.');
        let same_labels = self.labels.iter().all(|pattern| labels.next().is_some_and(|label| pattern.matches(label)));
        let below = self.path.strip_prefix('/').is_none_or(|prefix| path.starts_with(prefix));
        same_labels && labels.next().is_none() && self.port.as_deref() == port && below
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)))
}

/// A Docker configuration file, as far as it holds credentials.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Fields>,
}

/// One registry's entry. Unknown fields are other programs' business.
#[derive(Deserialize)]
struct Fields {
    auth: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
    identitytoken: Option<String>,
}

/// Name and password of an entry: `auth` counts before the two fields; none where there is neither.
fn credential(
    name: &str,
    auth: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
) -> Result<Option<Credential>, String> {
    let Some(auth) = auth.filter(|auth| !auth.expose_secret().is_empty()) else {
        let both = username.filter(|username| !username.is_empty()).zip(password);
        return Ok(both.map(|(username, password)| Credential { username, password }));
    };
    let wrong = || format!("`auth` of `{}` is not `user:password` in base64", name.escape_debug());
    let bytes = STANDARD_NO_PAD.decode(auth.expose_secret().trim().trim_end_matches('=')).map_err(|_| wrong())?;
    let pair = SecretString::from(String::from_utf8(bytes).map_err(|_| wrong())?);
    let (username, password) = pair.expose_secret().split_once(':').ok_or_else(wrong)?;
    let password = SecretString::from(password.trim_end_matches('\0'));
    Ok(Some(Credential { username: username.to_owned(), password }))
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

#[cfg(test)]
mod tests;

//! Docker configurations as JSON: `config.json`, and `.dockercfg` from before it.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::credential::Credential;

/// How servers and credentials are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// `config.json`: the servers stand below `auths`.
    Config,
    /// `.dockercfg`: there is nothing but servers.
    Legacy,
}

impl Format {
    /// That of a Secret of type `kind`; none where that type holds no registry's credentials.
    pub fn of_secret(kind: &str) -> Option<Self> {
        match kind {
            "kubernetes.io/dockerconfigjson" => Some(Self::Config),
            "kubernetes.io/dockercfg" => Some(Self::Legacy),
            _ => None,
        }
    }

    /// The key in such a Secret's data.
    pub fn secret_key(self) -> &'static str {
        match self {
            Self::Config => ".dockerconfigjson",
            Self::Legacy => ".dockercfg",
        }
    }

    /// That of a file, by what is in it: people give files any name.
    fn of_text(text: &[u8]) -> Self {
        let Ok(entries) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(text) else { return Self::Config };
        let known = ["auths", "credHelpers", "credsStore"].iter().any(|key| entries.contains_key(*key));
        let servers = entries.values().all(|entry| entry.get().starts_with('{'));
        if known || !servers { Self::Config } else { Self::Legacy }
    }
}

/// By server.
pub(super) type Logins = BTreeMap<String, Login>;

/// Reads the logins in JSON text; programs that it names are passed over.
///
/// # Errors
/// What is wrong and where, without any of the text: it holds passwords.
pub(super) fn logins(text: &[u8], format: Format) -> Result<Logins, String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default, deserialize_with = "by_server")]
        auths: Logins,
    }
    match format {
        Format::Config => read(text).map(|Config { auths }| auths),
        Format::Legacy => read(text).map(|Legacy(servers)| servers),
    }
}

/// A `.dockercfg`.
#[derive(Deserialize)]
struct Legacy(#[serde(deserialize_with = "by_server")] Logins);

/// Reads what stands beside servers. `null` is nothing, as for Go, and so for Docker and the kubelet.
fn by_server<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<BTreeMap<String, T>, D::Error> {
    let entries: Option<BTreeMap<String, Option<T>>> = Deserialize::deserialize(from)?;
    let filled = entries.into_iter().flatten().filter_map(|(server, entry)| Some((server, entry?)));
    Ok(filled.collect())
}

/// What Berth uses of a Docker configuration file. Unknown fields are other programs' business.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DockerFile {
    #[serde(default, deserialize_with = "by_server")]
    pub(super) auths: Logins,
    /// Programs that know a server's login: by server.
    #[serde(default, deserialize_with = "by_server")]
    pub(super) cred_helpers: BTreeMap<String, String>,
    /// The program that knows those of all others, if it is not empty.
    pub(super) creds_store: Option<String>,
}

impl DockerFile {
    /// Reads a file of either format.
    ///
    /// # Errors
    /// As for [`logins`].
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        match Format::of_text(text) {
            Format::Config => read(text),
            Format::Legacy => read(text).map(|Legacy(auths)| Self { auths, ..Self::default() }),
        }
    }
}

/// Reads JSON. The library quotes what it does not expect, and that may be a password: only the place is told.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| {
        let problem = if error.is_data() { "a value of the wrong type" } else { "broken JSON" };
        format!("{problem} at line {} column {}", error.line(), error.column())
    })
}

/// One server's entry.
#[derive(Deserialize)]
pub(super) struct Login {
    auth: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
    identitytoken: Option<SecretString>,
    registrytoken: Option<SecretString>,
}

impl Login {
    /// The credential for `server`. Tokens count before `auth`, and that before the two fields; none where nothing is
    /// there.
    pub(super) fn credential(self, server: &str) -> Result<Option<Credential>, String> {
        let filled =
            |secret: Option<SecretString>| secret.filter(|secret: &SecretString| !secret.expose_secret().is_empty());
        if let Some(token) = filled(self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(token)));
        }
        if let Some(token) = filled(self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(auth) = filled(self.auth) {
            return decode(&auth, server).map(Some);
        }
        let both = self.username.filter(|username| !username.is_empty()).zip(self.password);
        Ok(both.map(|(username, password)| Credential::password(username, password)))
    }
}

/// Reads `auth`: `user:password` in base64, with or without padding, on one line or on several, as `base64` writes it.
fn decode(auth: &SecretString, server: &str) -> Result<Credential, String> {
    let wrong = || format!("`auth` of `{}` is not `user:password` in base64", server.escape_debug());
    let line = SecretString::from(auth.expose_secret().replace(['\r', '\n'], ""));
    let bytes = STANDARD_NO_PAD.decode(line.expose_secret().trim().trim_end_matches('=')).map_err(|_| wrong())?;
    let pair = SecretString::from(String::from_utf8(bytes).map_err(|_| wrong())?);
    let (username, password) = pair.expose_secret().split_once(':').ok_or_else(wrong)?;
    Ok(Credential::password(username, password.trim_end_matches('\0')))
}

//! One credential: who asks, and what proves it.

use std::fmt;

use base64::Engine as _;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// Who asks, and what proves it.
#[derive(Clone, Debug)]
pub(in crate::registry) enum Credential {
    /// Name and password: for the registry, or for its token service.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A refresh token of `OAuth2`: only a token service takes it.
    IdentityToken(SecretString),
    /// A bearer token that the registry itself takes.
    RegistryToken(SecretString),
}

impl Credential {
    /// A name and a password.
    pub(in crate::registry) fn password(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self::Password { username: username.into(), password: password.into() }
    }

    /// The header `Authorization` of Basic authentication, marked sensitive; none where there is no password.
    pub(in crate::registry) fn basic(&self) -> Option<HeaderValue> {
        let Self::Password { username, password } = self else { return None };
        let pair = SecretString::from([username, ":", password.expose_secret()].concat());
        let text = base64::engine::general_purpose::STANDARD.encode(pair.expose_secret());
        sensitive(&SecretString::from(["Basic ", &text].concat()))
    }

    /// The refresh token that a token service exchanges for a token.
    pub(in crate::registry) fn identity_token(&self) -> Option<&SecretString> {
        if let Self::IdentityToken(token) = self { Some(token) } else { None }
    }

    /// The header `Authorization` with a token that needs no token service, marked sensitive.
    pub(in crate::registry) fn bearer(&self) -> Option<HeaderValue> {
        let Self::RegistryToken(token) = self else { return None };
        sensitive(&SecretString::from(["Bearer ", token.expose_secret()].concat()))
    }

    /// Tells credentials apart without showing them.
    pub(in crate::registry) fn fingerprint(&self) -> Fingerprint {
        let (kind, name, secret) = match self {
            Self::Password { username, password } => ("password", username.as_str(), password),
            Self::IdentityToken(token) => ("identity token", "", token),
            Self::RegistryToken(token) => ("registry token", "", token),
        };
        Fingerprint::over(&[kind.as_bytes(), name.as_bytes(), secret.expose_secret().as_bytes()])
    }
}

fn sensitive(value: &SecretString) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(value.expose_secret()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Stands for a credential, or for where one comes from, in keys of caches.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(in crate::registry) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of several parts, in this order.
    pub(super) fn over(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Of several fingerprints, in this order.
    pub(super) fn all(prints: impl Iterator<Item = Self>) -> Self {
        let mut hash = Sha256::new();
        prints.for_each(|print| hash.update(print.0));
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Shows none of it: whoever guesses a weak password could check the guess.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fingerprint")
    }
}

#[cfg(test)]
impl Fingerprint {
    /// That of some credential, for tests.
    pub(in crate::registry) fn of(text: &str) -> Self {
        Self::over(&[text.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_sent_as_what_it_is() {
        let password = Credential::password("user", "hunter2");
        let header = password.basic().unwrap();
        assert_eq!(header, "Basic dXNlcjpodW50ZXIy");
        assert!(header.is_sensitive() && password.identity_token().is_none() && password.bearer().is_none());
        let token = Credential::IdentityToken("hunter2".into());
        assert_eq!(token.identity_token().map(ExposeSecret::expose_secret), Some("hunter2"));
        assert!(token.basic().is_none() && token.bearer().is_none());
        let token = Credential::RegistryToken("hunter2".into());
        let header = token.bearer().unwrap();
        assert_eq!(header, "Bearer hunter2");
        assert!(header.is_sensitive() && token.basic().is_none() && token.identity_token().is_none());
        assert!(Credential::RegistryToken("a\r\nX-Evil: 1".into()).bearer().is_none());
    }

    #[test]
    fn fingerprints_tell_credentials_apart() {
        let print = |username: &str, password: &str| Credential::password(username, password).fingerprint();
        assert!(print("a", "b") == print("a", "b"));
        let different = [
            print("a", "b"),
            print("a", "c"),
            print("ab", "c"),
            print("a", "bc"),
            print("", "b"),
            Credential::IdentityToken("b".into()).fingerprint(),
            Credential::RegistryToken("b".into()).fingerprint(),
        ];
        for (index, one) in different.iter().enumerate() {
            assert!(different.iter().skip(index + 1).all(|other| one != other), "{index}");
        }
    }
}

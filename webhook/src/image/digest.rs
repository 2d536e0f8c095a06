//! Digests, checked to the letter: what a registry says goes into a Pod.

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits (or `sha384`, `sha512` with theirs).
///
/// # Source
/// `opencontainers/go-digest`, `Digest.Validate`: these three algorithms, exact length, lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest(Arc<str>);

impl Digest {
    /// The sha256 of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(spell("sha256", &Sha256::digest(content)).into())
    }

    /// Whether this is the digest of `content`.
    pub fn is_of(&self, content: &[u8]) -> bool {
        let content = match self.algorithm() {
            "sha384" => spell("sha384", &Sha384::digest(content)),
            "sha512" => spell("sha512", &Sha512::digest(content)),
            _ => spell("sha256", &Sha256::digest(content)),
        };
        self.as_str() == content
    }

    /// The text, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256`, `sha384` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }
}

fn spell(algorithm: &str, hash: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    let mut text = String::with_capacity(algorithm.len() + 1 + 2 * hash.len());
    text.push_str(algorithm);
    text.push(':');
    text.extend(hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError { text: text.to_owned() };
        let (algorithm, hex) = text.split_once(':').ok_or_else(wrong)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(wrong()),
        };
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == length && hex.bytes().all(lower_hex) { Ok(Self(text.into())) } else { Err(wrong()) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text that is no digest.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a digest: `sha256:` and 64 lower-case hexadecimal digits")]
pub struct DigestError {
    /// The text, as given.
    pub text: String,
}

//! Digests, checked to the letter: what a registry says goes into a Pod.

use std::{fmt, str::FromStr};

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits (or `sha384`, `sha512` with theirs).
///
/// # Source
/// `opencontainers/go-digest`, `Digest.Validate`: these three algorithms, exact length, lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest(Box<str>);

impl Digest {
    /// The text, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

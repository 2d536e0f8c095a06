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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, good: bool) {
        let parsed: Result<Digest, _> = text.parse();
        assert_eq!(parsed.as_ref().map(Digest::as_str).ok(), good.then_some(text), "text: {text:?}");
    }

    #[test]
    fn a_digest_is_its_algorithm_and_all_its_digits_in_lower_case() {
        check(&format!("sha256:{}", "a".repeat(64)), true);
        check(&format!("sha384:{}", "0".repeat(96)), true);
        check(&format!("sha512:{}", "f".repeat(128)), true);
        check(&format!("sha256:{}", "a".repeat(63)), false);
        check(&format!("sha256:{}", "a".repeat(65)), false);
        check(&format!("sha256:{}", "A".repeat(64)), false);
        check(&format!("sha256:{}", "g".repeat(64)), false);
        check(&format!("SHA256:{}", "a".repeat(64)), false);
        check(&format!("md5:{}", "a".repeat(32)), false);
        check(&format!("sha256:{}\n", "a".repeat(64)), false);
        check(&"a".repeat(64), false);
        check("sha256:", false);
        check("", false);
    }

    /// # Source
    /// FIPS 180-4, the example of one block.
    #[test]
    fn content_has_the_digest_that_everybody_computes() {
        let abc = Digest::of(b"abc");
        assert_eq!(abc.as_str(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let sha384 =
            "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
        assert!(abc.is_of(b"abc") && !abc.is_of(b"abd"));
        assert!(sha384.parse::<Digest>().unwrap().is_of(b"abc"));
        assert_eq!(abc.algorithm(), "sha256");
    }
}

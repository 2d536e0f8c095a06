//! The Secret that a webhook serves with: parsed, verified, ready for rustls.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use k8s_openapi::ByteString;
use rustls::sign::CertifiedKey;

use crate::{Bundle, Chain, Error, Validity};

/// What a replica serves with, once it is known that API servers accept it.
#[derive(Clone, Debug)]
pub struct Served {
    chain: Chain,
    bundle: Bundle,
}

impl Served {
    /// Parses the data of a Secret of the type `kubernetes.io/tls` with a `ca.crt` beside, and checks that whoever trusts
    /// `ca.crt` accepts the certificate for a call to `name` at `now`.
    ///
    /// # Errors
    /// Each bad content has its own: [`Error::Missing`] for an entry, and those of [`Chain::parse`] and
    /// [`Chain::verify`]. None of them holds anything of the key.
    pub fn from_secret(data: &BTreeMap<String, ByteString>, name: &str, now: SystemTime) -> Result<Self, Error> {
        let entry = |entry| data.get(entry).map(|ByteString(bytes)| bytes.as_slice()).ok_or(Error::Missing { entry });
        Self::from_parts(entry(CERTIFICATE)?, entry(KEY)?, entry(BUNDLE)?, name, now)
    }

    /// The same of three PEM texts: the leaf, its key, and the CAs that are trusted.
    pub fn from_parts(
        certificate: &[u8],
        key: &[u8],
        bundle: &[u8],
        name: &str,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let (chain, bundle) = (Chain::parse(certificate, key)?, Bundle::read(bundle));
        chain.verify(&bundle, name, now)?;
        Ok(Self { chain, bundle })
    }

    /// The leaf, to be verified against other bundles.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// For rustls: the chain and its key.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        self.chain.key()
    }

    /// When the leaf counts.
    pub fn validity(&self) -> Validity {
        self.chain.validity()
    }

    /// The CAs that API servers trust, as far as the Secret knows.
    pub fn authorities(&self) -> &Bundle {
        &self.bundle
    }

    /// Whether a replica that serves with `current` can go over to this at once.
    ///
    /// It can where a CA that it trusted before vouches for the new leaf: in a rotation the bundle comes a hold before the
    /// leaf. Otherwise nobody knows yet whether API servers have learned of that CA. Somebody may have put another Secret in
    /// this one's place, and the manager puts that right within seconds; or the bundle is on its way to the API servers.
    /// So `current` is served on for [`PATIENCE`], unless it does not count any more.
    pub fn follows(&self, current: &Self, name: &str, now: SystemTime) -> bool {
        current.chain.verify(&current.bundle, name, now).is_err()
            || self.chain.verify(&current.bundle, name, now).is_ok()
    }
}

/// How long a replica that serves with a good leaf does not take one of a CA that it has never heard of.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The entry with the leaf.
pub(crate) const CERTIFICATE: &str = "tls.crt";
/// The entry with the leaf's key.
pub(crate) const KEY: &str = "tls.key";
/// The entry with the CAs that are trusted.
pub(crate) const BUNDLE: &str = "ca.crt";

#[cfg(test)]
mod tests;

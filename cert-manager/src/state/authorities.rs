//! The Secret with the CA that signs, the one that is coming, and those whose leaves may still be served.

use std::time::SystemTime;

use super::{Notes, PUBLISHED, RETIRED_UNTIL};
use crate::{Authority, Bundle, Error, store::Secret};

/// What the CA's Secret holds.
#[derive(Debug)]
pub struct Authorities {
    /// The CA that signs.
    pub signing: Slot,
    /// The CA that will sign next, during a rotation.
    pub coming: Option<Slot>,
    /// CAs that sign no more.
    pub retired: Bundle,
    /// When the last leaf of a retired CA has expired.
    pub retired_until: Option<SystemTime>,
    /// When the bundle of this generation was read back from every configuration.
    pub published: Option<SystemTime>,
}

/// A place for a CA and its key.
#[derive(Debug)]
pub struct Slot {
    /// Its certificate, also where the key is lost.
    pub certificate: Bundle,
    /// With its key, or why it cannot sign.
    pub authority: Result<Authority, Error>,
}

impl Authorities {
    /// Every CA that is to be trusted.
    pub fn bundle(&self) -> Bundle {
        let coming = self.coming.as_ref().map(|slot| slot.certificate.clone()).unwrap_or_default();
        self.signing.certificate.with(&coming).with(&self.retired)
    }

    pub(super) fn read(secret: &Secret, notes: Notes<'_>) -> Self {
        let coming = [entries::COMING, entries::COMING_KEY].iter().any(|entry| secret.data.contains_key(*entry));
        Self {
            signing: Slot::read(secret, entries::SIGNING, entries::SIGNING_KEY),
            coming: coming.then(|| Slot::read(secret, entries::COMING, entries::COMING_KEY)),
            retired: Bundle::read(secret.entry(entries::RETIRED).unwrap_or_default()),
            retired_until: notes.moment(&secret.annotations, RETIRED_UNTIL),
            published: notes.moment(&secret.annotations, PUBLISHED),
        }
    }
}

impl Slot {
    fn read(secret: &Secret, certificate: &'static str, key: &'static str) -> Self {
        let entry = |entry| secret.entry(entry).ok_or(Error::Missing { entry });
        let authority = || {
            let text = |entry_name, error| std::str::from_utf8(entry(entry_name)?).map_err(|_| error);
            Authority::from_pem(text(certificate, Error::NoCertificate)?, text(key, Error::NoKey)?)
        };
        Self { certificate: Bundle::read(entry(certificate).unwrap_or_default()), authority: authority() }
    }

    /// The CA, where it can sign at `now`.
    pub fn usable(&self, now: SystemTime) -> Option<&Authority> {
        self.authority.as_ref().ok().filter(|authority| authority.validity().covers(now))
    }
}

/// The entries of the Secret.
pub(crate) mod entries {
    pub(crate) const SIGNING: &str = "ca.crt";
    pub(crate) const SIGNING_KEY: &str = "ca.key";
    pub(crate) const COMING: &str = "coming.crt";
    pub(crate) const COMING_KEY: &str = "coming.key";
    pub(crate) const RETIRED: &str = "retired.crt";
}

//! The Secret with the leaf, its key and the bundle.

use std::time::SystemTime;

use super::{Notes, VALID_UNTIL};
use crate::{Bundle, Chain, Error, served, store::Secret};

/// What the serving Secret holds.
#[derive(Debug)]
pub struct Serving {
    /// The leaf and its key, or why there is none.
    pub chain: Result<Chain, Error>,
    /// The CAs beside it; none where the entry is missing.
    pub bundle: Option<Bundle>,
    /// When the last leaf that was ever in this Secret has expired.
    pub valid_until: Option<SystemTime>,
    /// The CNCF project cert-manager keeps this Secret.
    pub kept_by_cert_manager: bool,
}

impl Serving {
    pub(super) fn read(secret: &Secret, notes: Notes<'_>) -> Self {
        let entry = |entry| secret.entry(entry).ok_or(Error::Missing { entry });
        let chain = || Chain::parse(entry(served::CERTIFICATE)?, entry(served::KEY)?);
        Self {
            chain: chain(),
            bundle: secret.entry(served::BUNDLE).map(Bundle::read),
            valid_until: notes.moment(&secret.annotations, VALID_UNTIL),
            kept_by_cert_manager: secret.annotations.contains_key(KEEPER),
        }
    }
}

/// Annotation of the Secrets that the CNCF project cert-manager writes. Source: <https://cert-manager.io/docs/reference/annotations/>.
pub(crate) const KEEPER: &str = "cert-manager.io/certificate-name";

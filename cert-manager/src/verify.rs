//! Would a peer that trusts the bundle accept the certificate?

use std::time::SystemTime;

use crate::{Bundle, Chain, Error, Leaf, Validity};

/// Checks that a client which trusts `bundle` (PEM) accepts `leaf` for a call to `name` at `now`,
/// and that the key is the certificate's. Returns when the leaf counts.
///
/// The rules are those of [`Chain::parse`], [`Bundle::parse`] and [`Chain::verify`].
pub fn verify(leaf: &Leaf, bundle: &str, name: &str, now: SystemTime) -> Result<Validity, Error> {
    let chain = Chain::parse(leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes())?;
    chain.verify(&Bundle::parse(bundle.as_bytes())?, name, now)?;
    Ok(chain.validity())
}

/// Checks that some CA of `bundle` (PEM) counts at `now`: without, nobody would be accepted.
pub fn authorities(bundle: &str, now: SystemTime) -> Result<(), Error> {
    Bundle::parse(bundle.as_bytes())?.roots(now).map(drop)
}

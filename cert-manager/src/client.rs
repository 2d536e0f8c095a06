//! Whom does a client's certificate name, if the bundle vouches for it?

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
    server::WebPkiClientVerifier,
};

use crate::{Bundle, Error, Validity, inspect};

/// A client whose certificate was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// The common name, the DNS names and the URIs of its certificate.
    pub names: Vec<String>,
    /// When the certificate counts.
    pub validity: Validity,
}

/// Checks that a CA of `bundle` (PEM) vouches at `now` for the first certificate of `chain`, as one for clients.
///
/// Stricter than rustls alone: a CA of the bundle counts only while it is valid itself, and the extended key usage
/// `clientAuth` must be named, where rustls also takes a certificate that names none.
pub fn verify_client(chain: &[CertificateDer<'_>], bundle: &str, now: SystemTime) -> Result<Client, Error> {
    let (first, intermediates) = chain.split_first().ok_or(Error::NoCertificate)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Bundle::parse(bundle.as_bytes())?.roots(now)?, provider)
        .build()
        .map_err(|_| Error::EmptyBundle)?;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    verifier
        .verify_client_cert(first, intermediates, UnixTime::since_unix_epoch(seconds))
        .map_err(Error::RefusedClient)?;
    let names = inspect::client_names(first)?.ok_or(Error::NotAClient)?;
    Ok(Client { names, validity: inspect::parse(first)?.validity })
}

#[cfg(test)]
mod tests;

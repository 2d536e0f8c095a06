//! Would a peer that trusts the bundle accept the certificate?

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

use crate::{Error, Leaf, Validity, inspect};

/// Checks that a client which trusts `bundle` (PEM) accepts `leaf` for a call to `name` at `now`,
/// and that the key is the certificate's. Returns when the leaf counts.
///
/// Stricter than rustls alone, as Go is: a CA of the bundle counts only while it is valid itself, and only if it is
/// one (crypto/x509, `isValid`). A self-signed leaf as its own bundle is refused.
pub fn verify(leaf: &Leaf, bundle: &str, name: &str, now: SystemTime) -> Result<Validity, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(leaf.certificate_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| Error::NoCertificate)?;
    let (first, intermediates) = chain.split_first().ok_or(Error::NoCertificate)?;
    check_key(&chain, &leaf.key_pem, &provider)?;

    let server = ServerName::try_from(name).map_err(|_| Error::BadName { name: name.to_owned() })?;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(bundle, now)?, provider)
        .build()
        .map_err(|_| Error::EmptyBundle)?;
    verifier
        .verify_server_cert(first, intermediates, &server, &[], UnixTime::since_unix_epoch(seconds))
        .map_err(|source| Error::Refused { name: name.to_owned(), source })?;
    Ok(inspect::parse(first)?.validity)
}

/// Checks that some CA of `bundle` (PEM) counts at `now`: without, nobody would be accepted.
pub fn authorities(bundle: &str, now: SystemTime) -> Result<(), Error> {
    roots(bundle, now).map(drop)
}

fn check_key(chain: &[CertificateDer<'static>], key_pem: &str, provider: &CryptoProvider) -> Result<(), Error> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| Error::NoKey)?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| Error::NoKey)?;
    CertifiedKey::new(chain.to_vec(), key).keys_match().map_err(|_| Error::KeyMismatch)
}

/// The CAs of the bundle that count at `now`.
pub(crate) fn roots(bundle: &str, now: SystemTime) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate = certificate.map_err(|_| Error::NoCertificate)?;
        let parsed = inspect::parse(&certificate)?;
        if parsed.authority && parsed.validity.covers(now) {
            roots.add(certificate).map_err(|_| Error::NotAnAuthority { subject: parsed.subject })?;
        }
    }
    if roots.is_empty() { Err(Error::EmptyBundle) } else { Ok(Arc::new(roots)) }
}

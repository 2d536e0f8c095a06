//! A certificate with its key, parsed once and then verified as often as needed.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

use crate::{Bundle, Error, Validity, inspect};

/// A leaf, the CAs between it and the bundle, and the leaf's key, which belongs to it.
#[derive(Clone)]
pub struct Chain {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl fmt::Debug for Chain {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Chain").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Chain {
    /// Parses both, PEM.
    ///
    /// # Errors
    /// [`Error::NoCertificate`], [`Error::SeveralLeaves`], [`Error::NoKey`] and [`Error::KeyMismatch`].
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let provider = aws_lc_rs::default_provider();
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(|_| Error::NoCertificate)?;
        let (leaf, between) = chain.split_first().ok_or(Error::NoCertificate)?;
        let validity = inspect::parse(leaf)?.validity;
        for other in between {
            if !inspect::parse(other)?.authority {
                return Err(Error::SeveralLeaves);
            }
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::NoKey)?;
        let key = provider.key_provider.load_private_key(key).map_err(|_| Error::NoKey)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| Error::KeyMismatch)?;
        Ok(Self { key: Arc::new(key), validity })
    }

    /// As rustls serves it.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// When the leaf counts.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Checks that a client which trusts `bundle` accepts the leaf for a call to `name` at `now`.
    ///
    /// Stricter than rustls alone, as Go is: a CA of the bundle counts only while it is valid itself, and only if it is
    /// one (crypto/x509, `isValid`). A self-signed leaf as its own bundle is refused.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::NotYetValid`], [`Error::EmptyBundle`], [`Error::WrongName`], [`Error::Unvouched`],
    /// and [`Error::Refused`] for whatever else a verifier finds.
    pub fn verify(&self, bundle: &Bundle, name: &str, now: SystemTime) -> Result<(), Error> {
        self.validity.check(now)?;
        let server = ServerName::try_from(name).map_err(|_| Error::BadName { name: name.to_owned() })?;
        let (leaf, between) = self.key.cert.split_first().ok_or(Error::NoCertificate)?;
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(bundle.roots(now)?, provider)
            .build()
            .map_err(|_| Error::EmptyBundle)?;
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let moment = UnixTime::since_unix_epoch(seconds);
        verifier
            .verify_server_cert(leaf, between, &server, &[], moment)
            .map(drop)
            .map_err(|source| refused(source, name))
    }
}

/// What the verifier said, in the words of [`Error`].
fn refused(source: rustls::Error, name: &str) -> Error {
    let name = name.to_owned();
    match source {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Error::WrongName { name },
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Error::Unvouched
        }
        source => Error::Refused { name, source },
    }
}

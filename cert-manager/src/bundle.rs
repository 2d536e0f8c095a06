//! CAs that are trusted together.

use std::{sync::Arc, time::SystemTime};

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    Error, Validity,
    inspect::{self, Parsed},
};

/// The certificate of a CA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor {
    der: CertificateDer<'static>,
    subject: String,
    validity: Validity,
}

impl Anchor {
    fn new(der: CertificateDer<'static>) -> Result<Self, Error> {
        let Parsed { subject, authority, validity, .. } = inspect::parse(&der)?;
        if authority { Ok(Self { der, subject, validity }) } else { Err(Error::NotAnAuthority { subject }) }
    }

    /// Its subject, for people.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When it counts.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// CAs that are trusted together, each once, in the order in which they were added.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bundle(Vec<Anchor>);

impl Bundle {
    /// The CAs in `pem`, as an API server reads a `caBundle`: what is no certificate, or none of a CA, is passed over.
    ///
    /// # Source
    /// Go 1.26, crypto/x509, `CertPool.AppendCertsFromPEM`.
    pub fn read(pem: &[u8]) -> Self {
        CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).filter_map(|der| Anchor::new(der).ok()).collect()
    }

    /// The CAs in `pem`. Certificates of others are passed over.
    ///
    /// # Errors
    /// [`Error::NoCertificate`] where a block is broken: what is not what its writer meant is not trusted in part.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let mut anchors = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            match Anchor::new(der.map_err(|_| Error::NoCertificate)?) {
                Ok(anchor) => anchors.push(anchor),
                Err(Error::NotAnAuthority { .. }) => (),
                Err(broken) => return Err(broken),
            }
        }
        Ok(anchors.into_iter().collect())
    }

    /// The CAs, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.0.iter()
    }

    /// Whether it holds no CA.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every CA of `other` is in it.
    pub fn holds(&self, other: &Self) -> bool {
        other.iter().all(|anchor| self.0.contains(anchor))
    }

    /// Whether both hold the same CAs.
    pub fn is(&self, other: &Self) -> bool {
        self.holds(other) && other.holds(self)
    }

    /// Its CAs, and then those of `other`.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// Its CAs that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.iter().filter(|anchor| !other.0.contains(anchor)).cloned().collect()
    }

    /// Its CAs that have not expired at `now`. One that does not count yet stays: the clock may be wrong.
    #[must_use]
    pub fn unexpired(&self, now: SystemTime) -> Self {
        self.iter().filter(|anchor| now <= anchor.validity.not_after).cloned().collect()
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        let block = |anchor: &Anchor| pem::encode_config(&Pem::new("CERTIFICATE", anchor.der.to_vec()), config);
        self.iter().map(block).collect()
    }

    /// The CAs that count at `now`, for a verifier.
    pub(crate) fn roots(&self, now: SystemTime) -> Result<Arc<RootCertStore>, Error> {
        let mut roots = RootCertStore::empty();
        for anchor in self.iter().filter(|anchor| anchor.validity.covers(now)) {
            let unusable = |_| Error::NotAnAuthority { subject: anchor.subject.clone() };
            roots.add(anchor.der.clone()).map_err(unusable)?;
        }
        if roots.is_empty() { Err(Error::EmptyBundle) } else { Ok(Arc::new(roots)) }
    }
}

impl FromIterator<Anchor> for Bundle {
    fn from_iter<I: IntoIterator<Item = Anchor>>(anchors: I) -> Self {
        let mut bundle = Self::default();
        for anchor in anchors {
            if !bundle.0.contains(&anchor) {
                bundle.0.push(anchor);
            }
        }
        bundle
    }
}

#[cfg(test)]
mod tests;

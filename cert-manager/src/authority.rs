//! The CA: made once, rebuilt from its PEM after a restart.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;

use crate::{
    Error, Leaf, Validity,
    inspect::{self, BACK_DATED, Parsed},
    leaf,
};

/// A certificate authority with its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    subject: String,
    certificate_pem: String,
    validity: Validity,
}

impl Authority {
    /// Makes a CA: ECDSA P-256, may sign leaves only (`pathlen:0`), valid from an hour before `now`.
    ///
    /// Date and key identifier become part of its common name, so that people and verifiers can tell apart two CAs
    /// that stand in one bundle during a rotation.
    pub fn issue(name: &str, now: SystemTime, lifetime: Duration) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Issue)?;
        let mut params = CertificateParams::default();
        let identifier = params.key_identifier(&key).first_chunk().copied().map_or(0, u32::from_be_bytes);
        let subject = format!("{name} {} {identifier:08x}", OffsetDateTime::from(now).date());
        params.distinguished_name = common_name(&subject);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = period(now, lifetime)?;
        let certificate = params.self_signed(&key).map_err(Error::Issue)?;
        Self::new(certificate.der(), certificate.pem(), key)
    }

    /// Rebuilds a CA from what [`Self::certificate_pem`] and [`Self::key_pem`] gave.
    ///
    /// # Errors
    /// [`Error::NotAnAuthority`] and [`Error::KeyMismatch`]: stored text is not trusted to be what was stored.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| Error::NoCertificate)?;
        let key = KeyPair::from_pem(key).map_err(|_| Error::NoKey)?;
        Self::new(&der, certificate.to_owned(), key)
    }

    /// The certificate, for the bundle that API servers trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key. Only what signs may see it.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When the CA counts.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs a serving certificate for `names` (DNS names and IP addresses) with a key of its own, ECDSA P-256.
    ///
    /// It is valid from an hour before `now`, because clocks differ, and never longer than the CA:
    /// callers check both.
    pub fn issue_leaf(&self, names: &[String], now: SystemTime, lifetime: Duration) -> Result<Leaf, Error> {
        if names.is_empty() {
            return Err(Error::NoNames);
        }
        if !self.validity.covers(now) {
            return Err(Error::AuthorityNotValid { subject: self.subject.clone() });
        }
        let key = KeyPair::generate().map_err(Error::Issue)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(LEAF_NAME);
        params.subject_alt_names = names.iter().map(|name| leaf::alternative_name(name)).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = period(now, lifetime)?;
        params.not_after = params.not_after.min(self.validity.not_after.into());
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::Issue)?;
        Ok(Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn new(der: &CertificateDer<'_>, certificate_pem: String, key: KeyPair) -> Result<Self, Error> {
        let Parsed { subject, authority, public_key, validity } = inspect::parse(der)?;
        if !authority {
            return Err(Error::NotAnAuthority { subject });
        }
        if public_key != key.subject_public_key_info() {
            return Err(Error::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_der(der, key).map_err(Error::Issue)?;
        Ok(Self { issuer, subject, certificate_pem, validity })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From an hour before `now`: the clocks of API servers differ from this one.
fn period(now: SystemTime, lifetime: Duration) -> Result<(OffsetDateTime, OffsetDateTime), Error> {
    let ends = OffsetDateTime::from(now).checked_add(lifetime.try_into().map_err(|_| Error::Lifetime)?);
    Ok((OffsetDateTime::from(now) - BACK_DATED, ends.ok_or(Error::Lifetime)?))
}

/// Callers read the alternative names only; this is for people.
const LEAF_NAME: &str = "webhook";

#[cfg(test)]
mod tests;

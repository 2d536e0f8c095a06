//! What a certificate says about itself.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, time::ASN1Time};

use crate::Error;

/// The time during which a certificate counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Whether `now` lies in it.
    pub fn covers(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The same, with the reason.
    ///
    /// # Errors
    /// [`Error::Expired`] and [`Error::NotYetValid`].
    pub fn check(&self, now: SystemTime) -> Result<(), Error> {
        if self.covers(now) {
            Ok(())
        } else if now > self.not_after {
            Err(Error::Expired { ended: self.not_after })
        } else {
            Err(Error::NotYetValid { begins: self.not_before })
        }
    }

    /// When the certificate was made, if it was made here: its beginning is back-dated. Never after its end.
    pub fn issued(&self) -> SystemTime {
        self.not_before.checked_add(BACK_DATED).unwrap_or(self.not_before).min(self.not_after)
    }

    /// When it should be replaced: two thirds of its life have passed since it was made.
    pub fn renewal(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.issued()).unwrap_or_default();
        self.not_after.checked_sub(life / 3).unwrap_or(self.not_after)
    }
}

/// When the first certificate of `pem` counts.
pub fn validity(pem: &str) -> Result<Validity, Error> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::NoCertificate)?;
    Ok(parse(&der)?.validity)
}

/// What the rules need of a certificate.
pub(crate) struct Parsed {
    pub(crate) subject: String,
    /// `BasicConstraints CA:TRUE`, and the key may sign certificates.
    pub(crate) authority: bool,
    /// The `SubjectPublicKeyInfo`, DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) validity: Validity,
}

pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<Parsed, Error> {
    let (_rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| Error::NoCertificate)?;
    let validity = certificate.validity();
    Ok(Parsed {
        subject: certificate.subject().to_string(),
        authority: may_sign(&certificate),
        public_key: certificate.public_key().raw.to_vec(),
        validity: Validity { not_before: moment(validity.not_before)?, not_after: moment(validity.not_after)? },
    })
}

/// The names of whom the certificate is for: its subject's common name, its DNS names and its URIs, as they stand there.
///
/// None where the extended key usage `clientAuth` is missing (then it proves no client), and no common name where the
/// subject has several: which of them counts depends on who reads it.
pub(crate) fn client_names(der: &CertificateDer<'_>) -> Result<Option<Vec<String>>, Error> {
    let (_rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| Error::NoCertificate)?;
    let usage = certificate.extended_key_usage().ok().flatten();
    if !usage.is_some_and(|usage| usage.value.client_auth) {
        return Ok(None);
    }
    let mut common = certificate.subject().iter_common_name();
    let common = common.next().filter(|_| common.next().is_none()).and_then(|name| name.as_str().ok());
    let others = certificate.subject_alternative_name().ok().flatten();
    let others = others.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    Ok(Some(common.into_iter().chain(others).map(str::to_owned).collect()))
}

/// RFC 5280, 4.2.1.9 and 4.2.1.3. Basic constraints that do not parse count as missing, a key usage as forbidding;
/// without a key usage the key may sign, as for Go (crypto/x509, `CheckSignatureFrom`): `openssl req -x509` writes none.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let basic = certificate.basic_constraints().ok().flatten();
    let signs = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    signs && basic.is_some_and(|constraints| constraints.value.ca)
}

fn moment(time: ASN1Time) -> Result<SystemTime, Error> {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default(); // before 1970: long ago is all that matters
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Error::Lifetime)
}

/// How long before its making a certificate begins to count.
pub(crate) const BACK_DATED: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_counted_from_when_it_was_made() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
        let lasting = |life| Validity { not_before: start - BACK_DATED, not_after: start + Duration::from_secs(life) };
        assert_eq!(lasting(90).issued(), start);
        assert_eq!(lasting(90).renewal(), start + Duration::from_secs(60));
        assert_eq!(lasting(0).renewal(), start);
        // Not made here: shorter than the back-dating.
        let short = Validity { not_before: start, not_after: start + Duration::from_secs(90) };
        assert_eq!(short.renewal(), short.not_after);
    }
}

//! The certificate that a replica serves with, and the names in it.

use std::{fmt, net::IpAddr};

use rcgen::SanType;
use rustls::pki_types::DnsName;

use crate::Error;

/// A serving certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
}

impl fmt::Debug for Leaf {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Leaf").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// The names of a Service inside its cluster. API servers call a webhook by the first.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    let short = [service, namespace].join(".");
    vec![format!("{short}.svc"), short.clone(), format!("{short}.svc.cluster.local")]
}

/// A name as it stands in a certificate.
pub(crate) fn alternative_name(name: &str) -> Result<SanType, Error> {
    let bad = || Error::BadName { name: name.to_owned() };
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    DnsName::try_from(name).map_err(|_| bad())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| bad())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_three_names() {
        let want = ["berth.berth-system.svc", "berth.berth-system", "berth.berth-system.svc.cluster.local"];
        assert_eq!(service_names("berth", "berth-system"), want);
    }

    #[test]
    fn a_key_is_never_printed() {
        let leaf = Leaf { certificate_pem: "public".to_owned(), key_pem: "private".to_owned() };
        let printed = format!("{leaf:?}");
        assert!(printed.contains("public") && !printed.contains("private"), "{printed}");
    }

    #[test]
    fn a_name_is_a_dns_name_or_an_address() {
        for good in ["berth.ns.svc", "localhost", "127.0.0.1", "::1"] {
            assert!(alternative_name(good).is_ok(), "{good}");
        }
        for bad in ["", "two words", "a..b", "https://x", "x:443", "é.svc", "a\nb"] {
            assert!(matches!(alternative_name(bad), Err(Error::BadName { .. })), "{bad:?}");
        }
    }
}

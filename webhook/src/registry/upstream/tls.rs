//! Whom Berth trusts, and what it shows of itself: one setup per kind of TLS.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WantsClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;

use super::ClientError;
use crate::config;

/// The certificate authorities of the machine; none on one that has none.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Authorities(Option<Arc<Verifier>>);

impl Authorities {
    /// Those of this machine: what `SSL_CERT_FILE` names, or what the system has.
    pub(super) fn of_machine() -> Self {
        Self(Verifier::new(provider()).ok().map(Arc::new))
    }

    /// Those of a machine that has none.
    #[cfg(test)]
    pub(in crate::registry) fn none() -> Self {
        Self(None)
    }

    /// TLS for hosts about which nothing is said; none where nobody could vouch for them.
    pub(super) fn usual(&self) -> Result<Option<ClientConfig>, ClientError> {
        self.setup(&config::Registry::default())
    }

    /// TLS as an entry of `registries` wants it; none where nobody could vouch for its host.
    pub(super) fn setup(&self, registry: &config::Registry) -> Result<Option<ClientConfig>, ClientError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions(); // 1.2, 1.3
        let builder = builder.map_err(|error| ClientError::Tls { reason: error.to_string() })?;
        let builder = match (&registry.ca_file, &self.0) {
            (Some(file), _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(CaFile::read(file)?)),
            (None, _) if registry.insecure_skip_verify => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider())))
            }
            (None, Some(verifier)) => builder.dangerous().with_custom_certificate_verifier(verifier.clone()),
            (None, None) => return Ok(None),
        };
        match (&registry.client_cert_file, &registry.client_key_file) {
            (Some(certificate), Some(key)) => with_certificate(builder, certificate, key).map(Some),
            _ => Ok(Some(builder.with_no_client_auth())),
        }
    }
}

fn with_certificate(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig, ClientError> {
    let broken = |reason| ClientError::KeyBroken { file: key.to_owned(), reason };
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    if String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
        return Err(broken("is encrypted; Berth takes a key without a passphrase"));
    }
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| broken("holds no private key in PEM"))?;
    builder.with_client_auth_cert(chain, der).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            ClientError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        _ => broken("holds a key that Berth cannot use with its certificate"),
    })
}

/// The certificates in `file`, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| ClientError::NoCertificates { file: file.to_owned() })
}

fn read(file: &Path) -> Result<Vec<u8>, ClientError> {
    fs::read(file).map_err(|source| ClientError::Unreadable { file: file.to_owned(), source })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether nobody is known who vouches for a certificate: it is nobody's, or an authority's own.
pub(super) fn is_strange(problem: &CertificateError) -> bool {
    match problem {
        // A private authority that was made anew often has the old one's name, and then its signature is wrong.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => true,
        CertificateError::Other(other) => {
            matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

/// `caFile`: its authorities vouch for a server, and the file itself for a certificate that stands in it.
///
/// Most private registries begin with one self-signed certificate for both. OpenSSL marks it as an authority's, which
/// rustls lets no server show; a node does.
///
/// # Source
/// Go, `crypto/x509`, `Certificate.Verify`: a certificate among the roots is its own chain.
#[derive(Debug)]
struct CaFile {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl CaFile {
    fn read(file: &Path) -> Result<Self, ClientError> {
        let unusable = || ClientError::NoCertificates { file: file.to_owned() };
        let (certificates, mut roots) = (certificates(file)?, RootCertStore::empty());
        roots.add_parsable_certificates(certificates.iter().cloned()); // one that is no use spoils no others, as in Go
        let authorities = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
        Ok(Self { authorities: authorities.map_err(|_| unusable())?, certificates })
    }
}

impl ServerCertVerifier for CaFile {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The dates are looked at before: a certificate that has expired is not told that it is strange.
            Err(rustls::Error::InvalidCertificate(problem))
                if is_strange(&problem) && self.certificates.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            told => told,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// `insecureSkipVerify`: whoever answers must have no more than the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

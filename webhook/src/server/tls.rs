//! The certificate that is served, swapped as a whole and only for one that was checked.

use std::{
    convert::Infallible,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use berth_cert_manager::{Validity, validity};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{fs, time};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::{callers::Callers, connection::ALPN};
use crate::telemetry::Metrics;

/// What is served now. Connections keep what they began with.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    callers: Arc<Callers>,
}

impl Tls {
    /// Serves with `identity`, and lets `callers` prove themselves.
    pub fn new(identity: Identity, callers: Arc<Callers>) -> Result<Self, Error> {
        let current = Arc::new(Current(ArcSwap::from_pointee(identity)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Rejected)?
            .with_client_cert_verifier(callers.clone())
            .with_cert_resolver(current.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // The API server never resumes a session: tickets would be work for nothing. And a session that is resumed
        // would bring the proof of another connection with it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), current, callers })
    }

    /// For the handshake of one connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Who may prove to be an API server.
    pub fn callers(&self) -> &Arc<Callers> {
        &self.callers
    }

    /// When the certificate that is served counts.
    pub fn validity(&self) -> Validity {
        self.current.0.load().validity
    }

    /// Serves with `identity` from now on, unless that would replace a certificate that counts by one that does not.
    fn replace(&self, identity: Identity, now: SystemTime) -> Result<(), Error> {
        if self.validity().covers(now) && !identity.validity.covers(now) {
            return Err(Error::NotValidNow);
        }
        self.current.0.store(Arc::new(identity));
        Ok(())
    }
}

/// The certificate of the next handshake, whatever name it is for.
#[derive(Debug)]
struct Current(ArcSwap<Identity>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().key.clone())
    }
}

/// A certificate chain with its key, checked and ready to serve with.
#[derive(Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl Identity {
    /// Parses both, and checks that the key belongs to the certificate.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| Error::NoCertificate)?;
        let validity = validity(certificate).map_err(|_| Error::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Error::NoKey)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(Error::Rejected)?;
        Ok(Self { key: Arc::new(key), validity })
    }
}

/// A certificate and its key in files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, PEM, the leaf first.
    pub certificate: PathBuf,
    /// The leaf's key, PEM.
    pub key: PathBuf,
}

impl Files {
    /// Reads and checks both.
    pub async fn load(&self) -> Result<Identity, Error> {
        let (certificate, key) = self.read().await?;
        Identity::from_pem(&certificate, &key)
    }

    /// Looks at the files for ever, and serves what changed. Content is compared, because a kubelet swaps symlinks
    /// in several steps; what is broken half-way is looked at again when it changes.
    pub async fn follow(&self, tls: &Tls, metrics: &Metrics) -> Infallible {
        let mut seen = None;
        loop {
            let read = self.read().await;
            if let Ok(content) = &read
                && seen.as_ref() != Some(content)
            {
                let first = seen.replace(content.clone()).is_none();
                let replaced = Identity::from_pem(&content.0, &content.1)
                    .and_then(|identity| tls.replace(identity, SystemTime::now()));
                match replaced {
                    Ok(()) if first => (),
                    Ok(()) => info!(certificate = %self.certificate.display(), "certificate replaced"),
                    Err(error) => keeps_the_old_one(&error),
                }
            } else if let Err(error) = &read {
                keeps_the_old_one(error);
            }
            metrics.certificate(tls.validity().not_after);
            time::sleep(LOOK_EVERY).await;
        }
    }

    async fn read(&self) -> Result<(String, String), Error> {
        let read = async |path: &PathBuf| {
            fs::read_to_string(path).await.map_err(|source| Error::Unreadable { path: path.clone(), source })
        };
        Ok((read(&self.certificate).await?, read(&self.key).await?))
    }
}

fn keeps_the_old_one(error: &Error) {
    warn!(error = error as &dyn std::error::Error, "the certificate files cannot be used; the last good one is served");
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate's text holds none.
    #[error("the certificate file holds no readable PEM block `CERTIFICATE`")]
    NoCertificate,
    /// The key's text holds none.
    #[error("the key file holds no readable PEM block `PRIVATE KEY`")]
    NoKey,
    /// They do not fit each other, or rustls knows no such key.
    #[error("the certificate and the key cannot be served together")]
    Rejected(#[source] rustls::Error),
    /// A replacement that has expired, or does not count yet.
    #[error("the new certificate is not valid at this time")]
    NotValidNow,
}

/// How soon a change of the files is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
pub(super) mod tests;

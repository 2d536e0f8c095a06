//! Who calls: a connection is an API server's where its client certificate proves it.
//!
//! A certificate is asked for and never demanded, and one that proves nothing costs its caller nothing: an API server
//! may well show Berth what it shows every webhook (a kubeconfig for `*`), or one that has expired, and refusing that
//! handshake would leave every Pod unreviewed. Such a caller counts as [`Caller::Anyone`], as one without does.

use std::{fs, io, path::PathBuf, sync::Arc, time::SystemTime};

use arc_swap::ArcSwapOption;
use berth_cert_manager::{authorities, verify_client};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{self, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tracing::debug;

use crate::{admission::Caller, config::PullSecrets};

/// Whom Berth believes, as the configuration says now.
#[derive(Debug)]
pub struct Callers {
    trust: ArcSwapOption<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// `pullSecrets.clientCAFile` and `clientNames`.
#[derive(Debug, Eq, PartialEq)]
pub struct Trust {
    /// The authorities, PEM.
    bundle: String,
    /// The names of API servers.
    names: Vec<String>,
}

impl Trust {
    /// What `config` says; none where it leaves callers unproven. Reads the file that it names.
    pub fn read(config: &PullSecrets) -> Result<Option<Self>, TrustError> {
        let Some(file) = &config.client_ca_file else { return Ok(None) };
        let bundle =
            fs::read_to_string(file).map_err(|source| TrustError::Unreadable { file: file.clone(), source })?;
        if authorities(&bundle, SystemTime::now()).is_err() {
            return Err(TrustError::NoAuthority { file: file.clone() });
        }
        Ok(Some(Self { bundle, names: config.client_names.clone() }))
    }

    /// Until when `chain` proves an API server; none where it does not.
    fn judge(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
        let client = verify_client(chain, &self.bundle, now);
        let client = client.inspect_err(|error| debug!(%error, "a client certificate proves nothing")).ok()?;
        let named = client.names.iter().any(|name| self.names.contains(name));
        named.then_some(client.validity.not_after)
    }
}

impl Callers {
    /// Believes nobody, until [`Self::believe`].
    pub fn new() -> Self {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { trust: ArcSwapOption::empty(), algorithms }
    }

    /// From now on counts what `trust` says, also for requests on connections that were proven before.
    ///
    /// Connections that were not proven stay so: their peers have to come again.
    pub fn believe(&self, trust: Option<Trust>) {
        self.trust.store(trust.map(Arc::new));
    }

    /// Whoever has just shown `chain` and that its key is theirs.
    pub fn peer(self: &Arc<Self>, chain: Option<&[CertificateDer<'static>]>, now: SystemTime) -> Peer {
        let prove = |chain: &[CertificateDer<'static>]| {
            let by = self.trust.load_full()?;
            let until = by.judge(chain, now)?;
            Some(Arc::new(Proof { callers: Arc::clone(self), chain: chain.to_vec(), by, until }))
        };
        Peer { proof: chain.and_then(prove) }
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self::new()
    }
}

/// The other end of one connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    proof: Option<Arc<Proof>>,
}

/// What proved an API server in the handshake. Connections last for hours, so that it is looked at for each request.
#[derive(Debug)]
struct Proof {
    callers: Arc<Callers>,
    chain: Vec<CertificateDer<'static>>,
    by: Arc<Trust>,
    until: SystemTime,
}

impl Peer {
    /// Who sends a request at `now`.
    pub fn caller(&self, now: SystemTime) -> Caller {
        let proven = self.proof.as_ref().is_some_and(|proof| proof.holds(now));
        if proven { Caller::Proven } else { Caller::Anyone }
    }
}

impl Proof {
    fn holds(&self, now: SystemTime) -> bool {
        match &*self.callers.trust.load() {
            None => false,
            Some(trust) if **trust == *self.by => now <= self.until,
            Some(trust) => trust.judge(&self.chain, now).is_some(),
        }
    }
}

/// Asks for a certificate and lets everybody in. That whoever shows one has its key is checked here; what it proves
/// is decided by `Trust::judge`.
impl ClientCertVerifier for Callers {
    fn offer_client_auth(&self) -> bool {
        self.trust.load().is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: they could not follow the configuration, and API servers do not heed them (client-go
    /// `transport.TLSConfigFor`, `GetClientCertificate`).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        // A connection keeps them for as long as it lasts.
        if leaf.len() + intermediates.iter().map(|der| der.len()).sum::<usize>() > LONGEST_CHAIN {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if unreadable(leaf) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if unreadable(leaf) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What rustls cannot read (`openssl x509 -req` writes version 1) proves nobody, whoever has its key:
/// [`verify_client`] reads it by the same function.
fn unreadable(leaf: &CertificateDer<'_>) -> bool {
    ParsedCertificate::try_from(leaf).is_err()
}

/// Why the authorities of callers cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file cannot be read.
    #[error("pullSecrets.clientCAFile: {} cannot be read", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would prove nobody.
    #[error("pullSecrets.clientCAFile: {} holds no certificate authority that is valid at this time", .file.display())]
    NoAuthority {
        /// The file.
        file: PathBuf,
    },
}

/// Bytes of all certificates that a caller may show; four of RSA with 4096 bits are half of it.
const LONGEST_CHAIN: usize = 16 * 1024;

#[cfg(test)]
mod tests;

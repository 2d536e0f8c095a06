//! The certificate that is served, swapped as a whole and only for one that was checked.
//!
//! It comes from [`files`], or from a Secret ([`secret`]). Until the first one has come the port listens all the same,
//! and refuses handshakes.

pub mod files;
pub mod secret;

use std::{
    borrow::Cow,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use berth_cert_manager::{Chain, Error, Served, Validity};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{callers::Callers, connection::ALPN};
use crate::telemetry::outcome::Refused;

/// What is served now. Connections keep what they began with.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    callers: Arc<Callers>,
    /// What is waited for while there is nothing to serve with.
    awaited: ArcSwap<Cow<'static, str>>,
}

impl Tls {
    /// Serves with `identity`, and lets `callers` prove themselves.
    pub fn new(identity: Identity, callers: Arc<Callers>) -> Result<Self, rustls::Error> {
        let tls = Self::waiting("", callers)?;
        tls.current.0.store(Some(Arc::new(identity)));
        Ok(tls)
    }

    /// Refuses handshakes until there is something to serve with: `awaited`, in words.
    pub fn waiting(awaited: &'static str, callers: Arc<Callers>) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(ArcSwapOption::empty()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(callers.clone())
            .with_cert_resolver(current.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // The API server never resumes a session: tickets would be work for nothing. And a session that is resumed
        // would bring the proof of another connection with it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let awaited = ArcSwap::from_pointee(Cow::Borrowed(awaited));
        Ok(Self { config: Arc::new(config), current, callers, awaited })
    }

    /// The handshake of one connection. Its end is the proof that a caller takes what it was shown.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(&self, socket: IO) -> io::Result<TlsStream<IO>> {
        let before = self.current.0.load_full();
        let stream = TlsAcceptor::from(self.config.clone()).accept(socket).await?;
        // Where it was swapped meanwhile nobody knows which one was shown.
        if let (Some(shown), Some(now)) = (before, self.current.0.load().as_ref())
            && Arc::ptr_eq(&shown, now)
        {
            shown.taken.store(true, Ordering::Relaxed);
        }
        Ok(stream)
    }

    /// Whether a caller has taken what is served, or it has been served for `patience`.
    pub fn is_established(&self, patience: Duration) -> bool {
        let established =
            |identity: &Identity| identity.taken.load(Ordering::Relaxed) || identity.since.elapsed() >= patience;
        self.current.0.load().as_deref().is_some_and(established)
    }

    /// Who may prove to be an API server.
    pub fn callers(&self) -> &Arc<Callers> {
        &self.callers
    }

    /// When the certificate that is served counts.
    pub fn validity(&self) -> Option<Validity> {
        self.current.0.load().as_ref().map(|identity| identity.validity)
    }

    /// What stands in the way of serving at `now`, in words.
    pub fn obstacle(&self, now: SystemTime) -> Option<Cow<'static, str>> {
        match self.validity() {
            None => Some(Cow::clone(&self.awaited.load())),
            Some(validity) if now < validity.not_before => Some("the certificate is not valid yet".into()),
            Some(validity) if now > validity.not_after => Some("the certificate has expired".into()),
            Some(_) => None,
        }
    }

    /// What is waited for from now on, where there is nothing to serve with.
    fn awaits(&self, what: impl Into<Cow<'static, str>>) {
        self.awaited.store(Arc::new(what.into()));
    }

    /// Serves with `identity` from now on, unless that would replace a certificate that counts by one that does not.
    /// Returns whether it is another certificate.
    fn replace(&self, identity: Identity, now: SystemTime) -> Result<bool, Error> {
        let before = self.current.0.load();
        let counts = |identity: &Identity| identity.validity.covers(now);
        if before.as_deref().is_some_and(counts) {
            identity.validity.check(now)?;
        }
        let another = before.as_ref().is_none_or(|before| before.key.cert != identity.key.cert);
        if another {
            self.current.0.store(Some(Arc::new(identity)));
        }
        Ok(another)
    }
}

/// The certificate of the next handshake, whatever name it is for. Without one rustls ends the handshake by an alert.
#[derive(Debug)]
struct Current(ArcSwapOption<Identity>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|identity| identity.key.clone())
    }
}

/// A certificate chain with its key, checked and ready to serve with.
#[derive(Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    validity: Validity,
    since: Instant,
    /// A handshake with it has succeeded.
    taken: AtomicBool,
}

impl Identity {
    fn new(key: Arc<CertifiedKey>, validity: Validity) -> Self {
        Self { key, validity, since: Instant::now(), taken: AtomicBool::new(false) }
    }

    /// Parses both, and checks that the key belongs to the certificate.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let chain = Chain::parse(certificate.as_bytes(), key.as_bytes())?;
        Ok(Self::new(chain.key().clone(), chain.validity()))
    }
}

impl From<Served> for Identity {
    fn from(served: Served) -> Self {
        Self::new(served.key().clone(), served.validity())
    }
}

/// The metric's label for why a certificate is not served.
fn reason(error: &Error) -> Refused {
    match error {
        Error::Missing { .. } | Error::NoCertificate | Error::NoKey => Refused::Unreadable,
        Error::KeyMismatch => Refused::Mismatch,
        Error::SeveralLeaves => Refused::Several,
        Error::WrongName { .. } => Refused::OtherName,
        Error::Expired { .. } => Refused::Expired,
        Error::NotYetValid { .. } => Refused::NotYetValid,
        // An empty bundle, and whatever else a verifier finds.
        _ => Refused::NotVouchedFor,
    }
}

#[cfg(test)]
pub(super) mod tests;

//! HTTP servers inside a test, with TLS if need be.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{Router, serve::Listener};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::pki::Identity;

/// A server at a free port of loopback. It accepts nobody any more when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves `router`, by TLS as `identity` where there is one.
    pub(crate) async fn start(router: Router, identity: Option<&Identity>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        if let Some(identity) = identity {
            let listener = TlsListener { listener, acceptor: acceptor(identity)?, handshakes: JoinSet::new() };
            tasks.spawn(run(listener, router));
            return Ok(Self { address, scheme: "https", _tasks: tasks });
        }
        tasks.spawn(run(listener, router));
        Ok(Self { address, scheme: "http", _tasks: tasks })
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Scheme, host and port.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

/// What serves TLS as `identity`, with HTTP/1.1.
pub(crate) fn acceptor(identity: &Identity) -> anyhow::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn run<L: Listener>(listener: L, router: Router)
where
    L::Addr: std::fmt::Debug,
{
    // It ends only with its task.
    let _ = axum::serve(listener, router).await;
}

/// Accepts connections and their handshakes; one that stalls holds up nobody.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<io::Result<TlsStream<TcpStream>>>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => if let Ok((stream, _)) = accepted {
                    self.handshakes.spawn(self.acceptor.accept(stream).into_future());
                },
                Some(done) = self.handshakes.join_next() => if let Ok(Ok(stream)) = done
                    && let Ok(peer) = stream.get_ref().0.peer_addr()
                {
                    return (stream, peer);
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

//! Listeners at every address of the enclave: who knocks is written down, and some doors are opened.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{Router, serve::Listener};
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{lock::locked, pki::Identity, serve::acceptor};

/// A connection that came.
pub type Knock = SocketAddr;

/// All addresses at some ports.
pub struct Doors {
    knocks: Arc<Mutex<BTreeSet<Knock>>>,
    _tasks: JoinSet<()>,
}

impl Doors {
    /// Listens at all addresses on `ports`. At the addresses `open` on port 443 it is `router` that answers, by TLS as
    /// `identity`; all others hear nothing: their connections are accepted and closed.
    pub fn open(ports: &[u16], open: &[IpAddr], router: &Router, identity: &Identity) -> anyhow::Result<Self> {
        let (knocks, mut tasks) = (Arc::<Mutex<BTreeSet<Knock>>>::default(), JoinSet::new());
        for &port in ports {
            for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
                let door = Door {
                    listener: listen(SocketAddr::new(any, port))?,
                    open: open.iter().filter(|_| port == HTTPS).copied().collect(),
                    acceptor: acceptor(identity)?,
                    handshakes: JoinSet::new(),
                    knocks: knocks.clone(),
                };
                let router = router.clone();
                tasks.spawn(async move {
                    // It ends only with its task.
                    let _ = axum::serve(door, router).await;
                });
            }
        }
        Ok(Self { knocks, _tasks: tasks })
    }

    /// Where somebody has knocked, each once.
    pub fn knocks(&self) -> BTreeSet<Knock> {
        locked(&self.knocks).clone()
    }
}

/// The two families apart, so that an address of IPv4 is told as one.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

struct Door {
    listener: TcpListener,
    open: Vec<IpAddr>,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<io::Result<TlsStream<TcpStream>>>,
    knocks: Arc<Mutex<BTreeSet<Knock>>>,
}

impl Door {
    fn answer(&mut self, stream: TcpStream) {
        let Ok(here) = stream.local_addr() else { return };
        locked(&self.knocks).insert(here);
        if self.open.contains(&here.ip()) {
            self.handshakes.spawn(self.acceptor.accept(stream).into_future());
        }
    }
}

impl Listener for Door {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => if let Ok((stream, _)) = accepted {
                    self.answer(stream);
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

const HTTPS: u16 = 443;

//! Accepting, limiting, draining: connections become requests here, and nothing is decided.
//!
//! A [`Port`] accepts. Each connection has a task: TLS handshake ([`tls`], and who calls: [`callers`]), then HTTP
//! ([`connection`]) at a decent [`pace`] ([`paced`]). [`review`] takes the body in under a global budget ([`body`]) and asks an [`Answer`](review::Answer); [`status`] is for
//! the kubelet and for Prometheus. [`drain`] says when a port that was told to stop may end.

pub mod body;
pub mod callers;
pub mod connection;
pub mod drain;
pub mod duration;
mod frames;
mod guests;
pub mod pace;
pub mod paced;
pub mod readiness;
pub mod review;
pub mod status;
pub mod tls;
mod workloads;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{self, Instant},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::{
    callers::Peer,
    connection::Protocol,
    drain::{Drain, Pauses},
    guests::Guests,
    pace::Pace,
    tls::Tls,
};
use crate::telemetry::Metrics;

/// A listening socket and what is behind it.
#[derive(Debug)]
pub struct Port {
    /// Its label in logs and metrics.
    pub name: &'static str,
    /// Where connections arrive.
    pub listener: TcpListener,
    /// The certificate; none: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// What answers.
    pub router: Router,
    /// Most connections at the same time.
    pub connections: usize,
}

impl Port {
    /// Listens at `address`; `[::]` means every address, also where the kernel has no IPv6.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        router: Router,
        connections: usize,
        tls: Option<Arc<Tls>>,
    ) -> io::Result<Self> {
        let listener = match TcpListener::bind(address).await {
            Err(error) if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await.map_err(|_| error)?
            }
            bound => bound?,
        };
        let address = listener.local_addr().unwrap_or(address);
        info!(port = name, %address, "listening");
        Ok(Self { name, listener, tls, router, connections })
    }

    /// Serves until `stop` is cancelled and the drain is over.
    pub async fn serve(self, metrics: Arc<Metrics>, stop: CancellationToken, pauses: Pauses) {
        let mut drain = Drain::new(pauses);
        let mut connections = JoinSet::new();
        let mut guests = Guests::default();
        let mut waiting = None;
        while !drain.over(connections.len() + usize::from(waiting.is_some()), Instant::now()) {
            metrics.connections(self.name, connections.len());
            if let Some((socket, peer)) = waiting.take_if(|_| self.has_room(connections.len(), &mut guests)) {
                let pace = Arc::new(Pace::new(Instant::now()));
                let one = serve_one(socket, peer, self.tls.clone(), self.router.clone(), pace.clone(), stop.clone());
                guests.push(connections.spawn(one), pace);
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !drain.begun() => drain.begin(Instant::now()),
                () = drain.next_look(Instant::now()) => (),
                Some(ended) = connections.join_next() => report(ended),
                accepted = self.listener.accept(), if waiting.is_none() => waiting = usable(accepted).await,
                () = time::sleep(FULL_PAUSE), if waiting.is_some() => (),
            }
        }
        info!(port = self.name, open = connections.len(), "drained");
        metrics.connections(self.name, 0);
    }

    /// Whether one more can be served beside `open` others, where need be in the place of one of them. It takes a moment
    /// to end, and until then nobody else comes.
    fn has_room(&self, open: usize, guests: &mut Guests) -> bool {
        open < self.connections || open == self.connections && guests.turn_away(self.connections)
    }
}

/// One connection, from its first packet to its last.
async fn serve_one(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    router: Router,
    pace: Arc<Pace>,
    stop: CancellationToken,
) {
    let ended = match tls {
        None => connection::serve(socket, Protocol::Http1, Peer::default(), router, pace, stop).await,
        // In a box of its own, so that a connection of hours does not hold the room that its handshake took.
        Some(tls) => match Box::pin(handshake(socket, tls)).await {
            Ok((stream, protocol, caller)) => {
                debug!(%peer, ?protocol, "connected");
                connection::serve(stream, protocol, caller, router, pace, stop).await
            }
            Err(error) => Err(error.into()),
        },
    };
    if let Err(error) = ended {
        debug!(%peer, error, "connection failed");
    }
}

async fn handshake(socket: TcpStream, tls: Arc<Tls>) -> io::Result<(Box<TlsStream<TcpStream>>, Protocol, Peer)> {
    let stream = time::timeout(HANDSHAKE_LIMIT, tls.accept(socket)).await??;
    let session = stream.get_ref().1;
    let protocol = Protocol::negotiated(session.alpn_protocol());
    let peer = tls.callers().peer(session.peer_certificates(), SystemTime::now());
    Ok((Box::new(stream), protocol, peer))
}

/// The socket, unless accepting failed: then a pause, because what fails now (descriptors are used up) fails again.
async fn usable(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok((socket, peer)) => {
            if let Err(error) = socket.set_nodelay(true) {
                debug!(%peer, %error, "no TCP_NODELAY");
            }
            Some((socket, peer))
        }
        Err(error) => {
            warn!(%error, "accept failed");
            time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!("a connection's task panicked");
    }
}

/// From the first packet to the end of the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at a full port where everybody is being answered.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most connections for reviews. API servers use one per request in flight: 1 800 must fit.
pub const REVIEW_CONNECTIONS: usize = 2500;
/// Most connections for probes and scrapes.
pub const STATUS_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests;

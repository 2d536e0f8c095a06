//! A proxy on loopback in front of a registry or a token service, which misbehaves as it is told.
//!
//! It takes HTTP/1.1, plain or by TLS, and can change its manner while it runs.

mod answer;
mod connection;
mod door;
mod message;
mod record;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use reqwest::{Client, redirect::Policy};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

pub use self::record::Heard;
use self::{door::Door, record::Record};
use crate::{lock::locked, pki::Authority, serve::acceptor};

/// A running proxy. It ends, with all its connections, when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    _task: JoinSet<()>,
}

/// How the proxy behaves.
#[derive(Clone, Debug)]
pub struct Manner {
    /// What goes wrong.
    pub fault: Fault,
    /// On how many of a hundred connections, evenly spread.
    pub percent: usize,
    /// Time before each answer.
    pub delay: Duration,
    /// Answers come without `Docker-Content-Digest`, so that their bodies matter.
    pub without_digest: bool,
}

/// What goes wrong.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// Nothing.
    #[default]
    Nothing,
    /// The port is closed, and so are all connections.
    Refuse,
    /// The queue of connections is full: a new one gets no answer at all, and an open one no answer any more.
    Unreachable,
    /// Connections are accepted, and then never another word: no handshake, no answer.
    BlackHole,
    /// The connection is reset as soon as it is accepted.
    ResetConnection,
    /// The request is read, and never answered.
    StallAnswer,
    /// The answer stops in the middle of its headers.
    StallHeaders,
    /// The answer stops in the middle of its body. Only a `GET` has one.
    StallBody,
    /// A byte a second, from the first.
    Trickle,
    /// The connection is reset in the middle of the headers.
    ResetHeaders,
    /// The connection is reset in the middle of the body.
    ResetBody,
    /// This status, with this `Retry-After`.
    Status(u16, Option<String>),
    /// 401 with this `WWW-Authenticate`, whatever comes.
    Challenge(String),
    /// A redirect to the same URL, for ever.
    RedirectLoop,
    /// A redirect to this URL; `{path}` in it stands for path and query of the request.
    Redirect(String),
    /// The digest of something else.
    WrongDigest,
    /// A digest that is none.
    BrokenDigest,
    /// Every other answer has the digest of something else.
    FlippingDigest,
    /// `HEAD` names the digest of something else, and `GET` the right one.
    Disagree,
    /// The body is another's.
    Tamper,
    /// 200 with a page for people.
    Html,
    /// 200 without `Content-Type`.
    NoType,
    /// A header of a megabyte.
    HugeHeader,
    /// A body that never ends, as fast as it is read.
    EndlessBody,
}

impl FaultProxy {
    /// In front of the server at `endpoint` (`http://HOST:PORT`); by TLS, as this authority's, where there is one.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn start(endpoint: String, authority: Option<&Authority>) -> anyhow::Result<Self> {
        let door = Door::open().context("no free port")?;
        let identity = authority.map(|authority| authority.server(&["127.0.0.1", "localhost"])).transpose()?;
        let tls = identity.map(|identity| acceptor(&identity)).transpose()?;
        // What is behind the proxy is the tests' own: its certificate is not the question here.
        let http = Client::builder().no_proxy().http1_only().tls_danger_accept_invalid_certs(true);
        let http = http.redirect(Policy::none()).build()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared { endpoint, http, tls, manner: Mutex::default(), record: Record::default() });
        let (orders, received) = mpsc::channel(1);
        let (address, mut task) = (door.address(), JoinSet::new());
        task.spawn(run(door, shared.clone(), received));
        Ok(Self { address, scheme, shared, orders, _task: task })
    }

    /// Host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Scheme, host and port.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Has `fault` from now on, for everybody.
    pub async fn set(&self, fault: Fault) -> anyhow::Result<()> {
        self.behave(Manner { fault, ..Manner::default() }).await
    }

    /// Behaves so from now on; what stalls already goes on stalling.
    pub async fn behave(&self, manner: Manner) -> anyhow::Result<()> {
        let (done, heard) = oneshot::channel();
        self.orders.send(Order { manner, done }).await.context("the proxy has ended")?;
        heard.await.context("the proxy has ended")?
    }

    /// Connections that it accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.record.connections()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.record.open()
    }

    /// The requests that it read so far.
    pub fn requests(&self) -> Vec<Heard> {
        self.shared.record.requests()
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self { fault: Fault::Nothing, percent: 100, delay: Duration::ZERO, without_digest: false }
    }
}

impl Manner {
    /// What goes wrong on the connection with this number, from 0.
    fn fault_of(&self, connection: usize) -> Fault {
        let struck = |number| number * self.percent / 100;
        if struck(connection + 1) > struck(connection) { self.fault.clone() } else { Fault::Nothing }
    }
}

/// What the proxy's connections have in common.
struct Shared {
    endpoint: String,
    http: Client,
    tls: Option<TlsAcceptor>,
    manner: Mutex<Manner>,
    record: Record,
}

/// A new manner, and whom to tell when it is in force.
struct Order {
    manner: Manner,
    done: oneshot::Sender<anyhow::Result<()>>,
}

async fn run(mut door: Door, shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = door.accept() => {
                let number = shared.record.connected();
                connections.spawn(connection::serve(stream, number, shared.clone()));
            }
            Some(_) = connections.join_next() => {}
            order = orders.recv() => {
                let Some(Order { manner, done }) = order else { return };
                let turned = door.turn(&manner.fault).await.context("the port cannot be had again");
                if manner.fault == Fault::Refuse {
                    connections.shutdown().await;
                }
                *locked(&shared.manner) = manner;
                // Who does not wait for it need not know.
                let _ = done.send(turned);
            }
        }
    }
}

#[cfg(test)]
mod tests;

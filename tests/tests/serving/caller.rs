//! An API server, as far as a webhook sees it: whom it calls, and on which connections.
//!
//! Source: `net/http.Transport` and client-go's `transport/cache.go`: 25 idle connections for 90 s, the one that was used
//! last is taken first, one that the other side has closed is never taken, and a POST is not tried again.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    Dice,
    connection::{Connection, Failure, Trust},
};

/// One of the API servers of a cluster.
pub(crate) struct Caller {
    trust: Trust,
    state: Mutex<State>,
}

struct State {
    /// Where the Service leads, as this machine knows by now.
    endpoints: Vec<SocketAddr>,
    /// The last one was used last.
    pool: Vec<Connection>,
    dice: Dice,
    in_flight: BTreeMap<SocketAddr, usize>,
    dialled: BTreeMap<SocketAddr, usize>,
}

/// One review.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) peer: SocketAddr,
    pub(crate) sent: Instant,
    /// Whether the answer said `Connection: close`.
    pub(crate) outcome: Result<bool, Failure>,
}

impl Caller {
    pub(crate) fn new(trust: Trust, endpoints: &[SocketAddr], seed: u64) -> Self {
        let state = State {
            endpoints: endpoints.to_vec(),
            pool: Vec::new(),
            dice: Dice::new(seed),
            in_flight: BTreeMap::new(),
            dialled: BTreeMap::new(),
        };
        Self { trust, state: Mutex::new(state) }
    }

    pub(crate) fn add(&self, endpoint: SocketAddr) {
        self.state.lock().unwrap().endpoints.push(endpoint);
    }

    pub(crate) fn remove(&self, endpoint: SocketAddr) {
        self.state.lock().unwrap().endpoints.retain(|known| *known != endpoint);
    }

    /// Requests under way to `peer`.
    pub(crate) fn in_flight(&self, peer: SocketAddr) -> usize {
        self.state.lock().unwrap().in_flight.get(&peer).copied().unwrap_or_default()
    }

    /// Idle connections to `peer`.
    pub(crate) fn pooled(&self, peer: SocketAddr) -> usize {
        self.state.lock().unwrap().pool.iter().filter(|connection| connection.peer == peer).count()
    }

    /// Connections that were asked of `peer` so far.
    pub(crate) fn dialled(&self, peer: SocketAddr) -> usize {
        self.state.lock().unwrap().dialled.get(&peer).copied().unwrap_or_default()
    }

    /// Closes what is idle.
    pub(crate) fn rest(&self) {
        self.state.lock().unwrap().pool.clear();
    }

    /// Where a new connection leads: some endpoint, as kube-proxy chooses.
    pub(crate) fn endpoint(&self) -> SocketAddr {
        let state = &mut *self.state.lock().unwrap();
        let chosen = state.dice.roll(state.endpoints.len().try_into().unwrap());
        state.endpoints[usize::try_from(chosen).unwrap()]
    }

    /// Calls the webhook about a Pod with `image`.
    pub(crate) async fn call(&self, image: &str) -> Call {
        let idle = self.take_idle();
        let peer = idle.as_ref().map_or_else(|| self.endpoint(), |connection| connection.peer);
        let sent = Instant::now();
        *self.state.lock().unwrap().in_flight.entry(peer).or_default() += 1;
        let outcome = self.exchange(idle, peer, image).await;
        *self.state.lock().unwrap().in_flight.entry(peer).or_default() -= 1;
        Call { peer, sent, outcome }
    }

    async fn exchange(&self, idle: Option<Connection>, peer: SocketAddr, image: &str) -> Result<bool, Failure> {
        let mut connection = if let Some(connection) = idle {
            connection
        } else {
            *self.state.lock().unwrap().dialled.entry(peer).or_default() += 1;
            Connection::dial(peer, &self.trust).await?
        };
        let close = connection.review(image).await?;
        let pool = &mut self.state.lock().unwrap().pool;
        if !close && pool.len() < IDLE_MOST {
            pool.push(connection);
        }
        Ok(close)
    }

    fn take_idle(&self) -> Option<Connection> {
        let state = &mut *self.state.lock().unwrap();
        state.pool.retain(|connection| connection.idle_since.elapsed() < IDLE_LIMIT);
        while let Some(connection) = state.pool.pop() {
            if !connection.closed() {
                return Some(connection);
            }
        }
        None
    }
}

const IDLE_MOST: usize = 25;
const IDLE_LIMIT: Duration = Duration::from_secs(90);

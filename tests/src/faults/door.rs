//! The port: open, closed, or with a queue that is full.

use std::{
    future, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::Fault;

/// A port of loopback that nobody else gets while this lives.
pub(super) struct Door {
    address: SocketAddr,
    state: State,
}

enum State {
    Open(TcpListener),
    /// Bound, but not listening: connections are refused.
    Closed {
        _socket: TcpSocket,
    },
    /// Listening, with as many connections waiting as it takes.
    Full {
        _listener: TcpListener,
        _waiting: Vec<TcpStream>,
    },
    /// Between two states.
    Turning,
}

impl Door {
    /// A free port, open.
    pub(super) fn open() -> io::Result<Self> {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.listen(BACKLOG)?;
        Ok(Self { address: listener.local_addr()?, state: State::Open(listener) })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection; none while it is not open.
    pub(super) async fn accept(&self) -> TcpStream {
        let State::Open(listener) = &self.state else { return future::pending().await };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => sleep(AFTER_ERROR).await,
            }
        }
    }

    /// Becomes what `fault` needs.
    pub(super) async fn turn(&mut self, fault: &Fault) -> io::Result<()> {
        match (fault, &self.state) {
            (Fault::Refuse, State::Closed { .. }) | (Fault::Unreachable, State::Full { .. }) => return Ok(()),
            (Fault::Refuse | Fault::Unreachable, _) => {}
            (_, State::Open(_)) => return Ok(()),
            _ => {}
        }
        // The old one is closed first: two cannot have the port.
        self.state = State::Turning;
        let socket = bind(self.address)?;
        self.state = match fault {
            Fault::Refuse => State::Closed { _socket: socket },
            Fault::Unreachable => self.full(socket.listen(0)?).await,
            _ => State::Open(socket.listen(BACKLOG)?),
        };
        Ok(())
    }

    /// Lets connections queue up until no other gets an answer.
    async fn full(&self, listener: TcpListener) -> State {
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = timeout(NO_ANSWER, TcpStream::connect(self.address)).await {
            waiting.push(stream);
        }
        State::Full { _listener: listener, _waiting: waiting }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

const BACKLOG: u32 = 1024;
/// Loopback answers within microseconds, or it does not answer.
const NO_ANSWER: Duration = Duration::from_millis(200);
const AFTER_ERROR: Duration = Duration::from_millis(10);

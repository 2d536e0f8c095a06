//! The port: open, closed, or with a queue that is full.

use std::{
    future, io,
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::Fault;
use crate::port::Port;

/// A port of loopback that nobody else gets while this lives: it stays bound from first to last.
pub(super) struct Door {
    address: SocketAddr,
    socket: Socket,
    state: State,
}

enum State {
    Open(TcpListener),
    /// Bound, but not listening: connections are refused.
    Closed,
    /// Listening, with as many connections waiting as it takes.
    Full {
        _waiting: Vec<TcpStream>,
    },
}

impl Door {
    /// A free port, open.
    pub(super) fn open() -> io::Result<Self> {
        let (socket, address) = bound()?;
        let state = State::Open(listen(&socket)?);
        Ok(Self { address, socket, state })
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
            (Fault::Refuse, State::Closed) | (Fault::Unreachable, State::Full { .. }) => return Ok(()),
            (Fault::Refuse | Fault::Unreachable, _) => {}
            (_, State::Open(_)) => return Ok(()),
            _ => {}
        }
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.socket.shutdown(Shutdown::Read)?; // on Linux this ends the listening, and keeps the port
        }
        self.state = match fault {
            Fault::Refuse => State::Closed,
            Fault::Unreachable => self.full().await?,
            _ => State::Open(listen(&self.socket)?),
        };
        Ok(())
    }

    /// Lets connections queue up until no other gets an answer.
    async fn full(&self) -> io::Result<State> {
        self.socket.listen(0)?;
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = timeout(NO_ANSWER, TcpStream::connect(self.address)).await {
            waiting.push(stream);
        }
        Ok(State::Full { _waiting: waiting })
    }
}

/// A socket that keeps its port when it stops listening: the kernel lets go of a port that it chose itself.
fn bound() -> io::Result<(Socket, SocketAddr)> {
    let (port, socket) = (Port::free()?, Socket::new(Domain::IPV4, Type::STREAM, None)?);
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&port.address().into())?;
    Ok((socket, port.address()))
}

fn listen(socket: &Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.try_clone()?.into())
}

const BACKLOG: i32 = 1024;
/// Loopback answers within microseconds, or it does not answer.
const NO_ANSWER: Duration = Duration::from_millis(200);
const AFTER_ERROR: Duration = Duration::from_millis(10);

//! Ports that nobody else gets.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};

/// A port of loopback for a program that is still to listen there, or to do it again.
///
/// It is bound as long as this lives, so it is given to nobody who asks for any port, nor used for a connection. Whoever
/// names it can listen there all the same: tokio and the programs in Go set `SO_REUSEADDR`, which is enough as long as
/// only one of them listens.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _bound: Socket,
}

impl Port {
    /// A port that nobody has.
    pub fn free() -> io::Result<Self> {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        bound.set_reuse_address(true)?;
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let number = bound.local_addr()?.as_socket().map(|address| address.port());
        Ok(Self { number: number.ok_or(io::ErrorKind::Unsupported)?, _bound: bound })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what a test does not find, it fails by")]

    use std::{collections::BTreeSet, net::TcpListener};

    use super::*;

    #[test]
    fn nobody_gets_it_who_does_not_name_it() {
        let ports: Vec<_> = (0..COUNT).map(|_| Port::free().unwrap()).collect();
        let others: Vec<_> = (0..COUNT).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let others = others.iter().map(|other| other.local_addr().unwrap().port());
        let all: BTreeSet<_> = ports.iter().map(Port::number).chain(others).collect();
        assert_eq!(all.len(), 2 * COUNT);
    }

    #[test]
    fn who_names_it_can_listen_there_again_and_again() {
        let port = Port::free().unwrap();
        for _ in 0..3 {
            let listener = TcpListener::bind(port.address()).unwrap();
            assert_eq!(TcpListener::bind(port.address()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            drop(listener);
        }
    }

    /// By chance alone some of so many are equal.
    const COUNT: usize = 400;
}

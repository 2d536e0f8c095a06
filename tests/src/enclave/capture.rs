//! Every packet of the enclave, as the kernel sends it: also one that nobody answers.

use std::{
    collections::BTreeSet,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{lock::locked, wait::until};

/// One packet, as far as it says who wants what from whom.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Packet {
    /// Where it is sent to.
    pub to: IpAddr,
    /// The port there; none for what is neither TCP nor UDP.
    pub port: Option<u16>,
    /// IP's number of the protocol: 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// It opens a connection (TCP), or is a message by itself (anything else): not an answer to one.
    pub first: bool,
}

/// A running capture. To be made inside an [`Enclave`](super::Enclave).
pub struct Capture {
    packets: Arc<Mutex<Vec<Packet>>>,
    /// The port of the next mark.
    mark: AtomicU16,
}

impl Capture {
    /// Captures from now on.
    pub fn start() -> anyhow::Result<Self> {
        let every = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(every)).context("no packet socket")?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        // The kernel's limit is for those who are not root.
        set_socket_recv_buffer_size_force(&socket, BUFFER).or_else(|_| socket.set_recv_buffer_size(BUFFER))?;
        let packets = Arc::<Mutex<Vec<Packet>>>::default();
        let kept = Arc::downgrade(&packets);
        thread::Builder::new().name("capture".to_owned()).spawn(move || {
            let mut frame = [0; LONGEST];
            while let Some(packets) = kept.upgrade() {
                let Ok(length) = socket.read(&mut frame) else { continue };
                locked(&packets).extend(frame.get(ETHERNET..length).and_then(Packet::parse));
            }
        })?;
        Ok(Self { packets, mark: AtomicU16::new(1) })
    }

    /// What was sent until now to open something, without repetitions. All of it: a packet that is sent now is waited for.
    pub async fn firsts(&self) -> anyhow::Result<BTreeSet<Packet>> {
        let port = self.mark.fetch_add(1, Ordering::Relaxed);
        let mark = Packet { to: MARK.into(), port: Some(port), protocol: UDP, first: true };
        let sender = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        until("the capture has come so far", LIMIT, async || {
            // One that follows many others may be dropped.
            sender.send_to(&[], (MARK, port))?;
            ensure!(locked(&self.packets).contains(&mark), "it has not");
            Ok(())
        })
        .await?;
        let packets = locked(&self.packets);
        let of_berth = |packet: &&Packet| packet.first && packet.to != IpAddr::from(MARK);
        Ok(packets.iter().filter(of_berth).copied().collect())
    }
}

impl Packet {
    /// Reads an IP packet from its first byte.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (to, protocol, body) = match bytes.first()? >> 4 {
            4 => {
                let length = usize::from(bytes.first()? & 0xf) * 4;
                let to: [u8; 4] = *bytes.get(16..)?.first_chunk()?;
                (Ipv4Addr::from(to).into(), *bytes.get(9)?, bytes.get(length..)?)
            }
            6 => {
                let to: [u8; 16] = *bytes.get(24..)?.first_chunk()?;
                (Ipv6Addr::from(to).into(), *bytes.get(6)?, bytes.get(40..)?)
            }
            _ => return None,
        };
        let port = body.get(2..).and_then(|port| port.first_chunk()).map(|port| u16::from_be_bytes(*port));
        let flags = body.get(13).copied().unwrap_or_default();
        let first = protocol != TCP || (flags & SYN != 0 && flags & ACK == 0);
        Some(Self { to, port: port.filter(|_| [TCP, UDP].contains(&protocol)), protocol, first })
    }
}

/// In the byte order of the network.
const ETH_P_ALL: u16 = 3;
/// Of a frame of Ethernet, as loopback has it, too.
const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 2;
const ACK: u8 = 16;
/// Bytes of a frame that are looked at.
const LONGEST: usize = 128;
/// Bytes of packets that wait to be read.
const BUFFER: usize = 64 << 20;
/// Where only marks are sent: for documents, and dialled by nobody.
const MARK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_to_the_port_and_the_flags() {
        let header = |version: u8, protocol: u8| match version {
            4 => [vec![0x45; 1], vec![0; 8], vec![protocol], vec![0; 2], vec![1, 2, 3, 4], vec![8, 8, 8, 8]].concat(),
            _ => [vec![0x60; 1], vec![0; 5], vec![protocol, 0], vec![0; 16], vec![0xfd; 16]].concat(),
        };
        let tcp = |flags: u8| [vec![0, 1, 0x01, 0xbb], vec![0; 9], vec![flags]].concat();
        let parse = |version, protocol, body: &[u8]| {
            let packet = Packet::parse(&[&header(version, protocol), body].concat()).unwrap();
            (packet.to.to_string(), packet.port, packet.first)
        };
        assert_eq!(parse(4, TCP, &tcp(SYN)), ("8.8.8.8".to_owned(), Some(443), true));
        assert!(!parse(4, TCP, &tcp(SYN | ACK)).2 && !parse(4, TCP, &tcp(ACK)).2);
        let six = "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd".to_owned();
        assert_eq!(parse(6, UDP, &[0, 1, 0, 53]), (six.clone(), Some(53), true));
        assert_eq!(parse(6, 58, &[0, 1, 0, 53]), (six, None, true));
        assert_eq!(Packet::parse(&[0; 64]), None);
    }
}

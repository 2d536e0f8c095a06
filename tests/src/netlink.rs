//! Links, addresses and routes of a network namespace, by netlink.
//!
//! # Source
//! `rtnetlink(7)`; `linux/rtnetlink.h`, `linux/if_link.h`, `linux/veth.h` and `linux/netlink.h` for numbers and layouts.

use std::{
    io::{self, Read as _, Write as _},
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use anyhow::{Context as _, ensure};
use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Socket, Type};

/// A conversation with the kernel about the namespace of the thread that began it.
pub(crate) struct Netlink {
    socket: Socket,
}

/// One end of a virtual cable.
pub(crate) struct End<'a> {
    /// What the interface is called there.
    pub(crate) name: &'a str,
    /// The network namespace that it goes to (a file of `/proc/PID/ns`).
    pub(crate) namespace: BorrowedFd<'a>,
}

impl Netlink {
    /// Begins one.
    pub(crate) fn open() -> anyhow::Result<Self> {
        Ok(Self { socket: Socket::new(Domain::from(AF_NETLINK), Type::RAW, None).context("no netlink")? })
    }

    /// Brings an interface up.
    pub(crate) fn up(&mut self, interface: &str) -> anyhow::Result<()> {
        let up = 1_u32.to_ne_bytes(); // IFF_UP, as flag and as the mask of what changes
        let body = [&[0; 4][..], &self.index(interface)?.to_ne_bytes(), &up, &up].concat();
        self.ask(NEW_LINK, 0, &body).with_context(|| format!("{interface} does not come up"))
    }

    /// Makes a bridge.
    pub(crate) fn bridge(&mut self, name: &str) -> anyhow::Result<()> {
        let kind = attribute(LINK_INFO, &attribute(INFO_KIND, b"bridge"));
        let body = [ANY_LINK.to_vec(), attribute(LINK_NAME, name.as_bytes()), kind].concat();
        self.ask(NEW_LINK, CREATE | EXCLUSIVE, &body).with_context(|| format!("cannot make the bridge {name}"))
    }

    /// Lays a cable from the bridge to another namespace; `port` is what its end at the bridge is called.
    ///
    /// # Errors
    /// Of the kind [`io::ErrorKind::AlreadyExists`] where there is such an interface.
    pub(crate) fn cable(&mut self, bridge: &str, port: &str, far: &End<'_>) -> anyhow::Result<()> {
        let namespace = attribute(LINK_NAMESPACE, &far.namespace.as_raw_fd().to_ne_bytes());
        let peer = [ANY_LINK.to_vec(), attribute(LINK_NAME, far.name.as_bytes()), namespace].concat();
        let data = attribute(INFO_DATA, &attribute(PEER, &peer));
        let kind = attribute(LINK_INFO, &[attribute(INFO_KIND, b"veth"), data].concat());
        let master = attribute(LINK_MASTER, &self.index(bridge)?.to_ne_bytes());
        let body = [ANY_LINK.to_vec(), attribute(LINK_NAME, port.as_bytes()), master, kind].concat();
        self.ask(NEW_LINK, CREATE | EXCLUSIVE, &body).with_context(|| format!("no cable to {}", far.name))?;
        self.up(port)
    }

    /// Gives an interface an address, and a route to the `prefix` bits of it.
    pub(crate) fn address(&mut self, interface: &str, address: Ipv4Addr, prefix: u8) -> anyhow::Result<()> {
        let index = self.index(interface)?.to_ne_bytes();
        let octets = address.octets();
        let local = [attribute(ADDRESS, &octets), attribute(ADDRESS_LOCAL, &octets)].concat();
        let body = [&[AF_INET, prefix, 0, 0][..], &index, &local].concat();
        self.ask(NEW_ADDRESS, CREATE | EXCLUSIVE, &body).with_context(|| format!("{interface} does not get {address}"))
    }

    /// Sends what is for a network on by a gateway.
    pub(crate) fn route(&mut self, network: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> anyhow::Result<()> {
        let route = [AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, SCOPE_UNIVERSE, TYPE_UNICAST, 0, 0, 0, 0];
        let by = [attribute(ROUTE_TO, &network.octets()), attribute(ROUTE_GATEWAY, &gateway.octets())].concat();
        self.ask(NEW_ROUTE, CREATE, &[&route[..], &by].concat()).with_context(|| format!("no route to {network}"))
    }

    /// Makes every address of IPv4 and IPv6 one of this machine's own.
    pub(crate) fn everything_is_here(&mut self) -> anyhow::Result<()> {
        let loopback = attribute(ROUTE_INTERFACE, &self.index("lo")?.to_ne_bytes());
        for family in [AF_INET, AF_INET6] {
            let everything = [family, 0, 0, 0, TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
            let body = [&everything[..], &loopback].concat();
            self.ask(NEW_ROUTE, CREATE, &body).context("no route for all addresses")?;
        }
        Ok(())
    }

    fn index(&self, interface: &str) -> anyhow::Result<u32> {
        name_to_index(&self.socket, interface).with_context(|| format!("there is no interface {interface}"))
    }

    /// Sends one request and waits for its acknowledgement.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(HEADER + body.len())?.to_ne_bytes();
        let flags = (REQUEST | ACKNOWLEDGE | flags).to_ne_bytes();
        let message = [&length[..], &kind.to_ne_bytes(), &flags, &[0; 8], body].concat();
        self.socket.write_all(&message)?;
        let mut answer = [0; 4096];
        let length = self.socket.read(&mut answer)?;
        let code = answer.get(HEADER..length).and_then(|error| error.first_chunk()).context("a short answer")?;
        let code = i32::from_ne_bytes(*code);
        ensure!(code == 0, io::Error::from_raw_os_error(-code));
        Ok(())
    }
}

/// `struct rtattr`: length and kind, the value, and zeros up to a multiple of four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX); // the kernel refuses that
    let mut attribute = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// `struct ifinfomsg` of an interface that is named by an attribute, or new.
const ANY_LINK: [u8; 16] = [0; 16];
const AF_NETLINK: i32 = 16;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Of `struct nlmsghdr`, bytes.
const HEADER: usize = 16;
/// Of `struct rtattr`, bytes.
const ATTRIBUTE_HEADER: usize = 4;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const LINK_NAME: u16 = 3;
const LINK_MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const PEER: u16 = 1;
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ROUTE_TO: u16 = 1;
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;

const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_HOST: u8 = 254;
const TYPE_UNICAST: u8 = 1;
const TYPE_LOCAL: u8 = 2;

//! Routes of a network namespace, by netlink.
//!
//! # Source
//! `rtnetlink(7)`; `linux/rtnetlink.h` and `linux/netlink.h` for numbers and layouts.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, ensure};
use socket2::{Domain, Socket, Type};

/// Brings loopback up, and makes every address of IPv4 and IPv6 one of its own: whoever is dialled is here, and whoever
/// listens at all addresses listens at those, too.
pub(super) fn everything_is_here() -> anyhow::Result<()> {
    let mut kernel = Socket::new(Domain::from(AF_NETLINK), Type::RAW, None).context("no netlink")?;
    ask(&mut kernel, NEW_LINK, &up(LOOPBACK)).context("loopback does not come up")?;
    for family in [AF_INET, AF_INET6] {
        ask(&mut kernel, NEW_ROUTE, &local_default(family)).context("no route for all addresses")?;
    }
    Ok(())
}

/// Sends one request and waits for its acknowledgement.
fn ask(kernel: &mut Socket, kind: u16, body: &[u8]) -> anyhow::Result<()> {
    let length = u32::try_from(HEADER + body.len())?.to_ne_bytes();
    let flags = (REQUEST | ACKNOWLEDGE | CREATE).to_ne_bytes();
    let message = [&length[..], &kind.to_ne_bytes(), &flags, &[0; 8], body].concat();
    kernel.write_all(&message)?;
    let mut answer = [0; 1024];
    let length = kernel.read(&mut answer)?;
    let code = answer.get(HEADER..length).and_then(|error| error.first_chunk()).context("a short answer")?;
    let code = i32::from_ne_bytes(*code);
    ensure!(code == 0, std::io::Error::from_raw_os_error(-code));
    Ok(())
}

/// `struct ifinfomsg`: the interface is to be up.
fn up(interface: u32) -> Vec<u8> {
    let up = 1_u32.to_ne_bytes(); // IFF_UP, as flag and as the mask of what changes
    [&[0; 4][..], &interface.to_ne_bytes(), &up, &up].concat()
}

/// `struct rtmsg` with an outgoing interface: every address is local.
fn local_default(family: u8) -> Vec<u8> {
    let everything = 0;
    let route = [family, everything, 0, 0, TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL];
    let interface = [&8_u16.to_ne_bytes()[..], &ATTRIBUTE_INTERFACE.to_ne_bytes(), &LOOPBACK.to_ne_bytes()].concat();
    [&route[..], &[0; 4], &interface].concat()
}

const AF_NETLINK: i32 = 16;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Of `struct nlmsghdr`, bytes.
const HEADER: usize = 16;
const NEW_LINK: u16 = 16;
const NEW_ROUTE: u16 = 24;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CREATE: u16 = 0x400;
/// The index of `lo` in every namespace.
const LOOPBACK: u32 = 1;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_HOST: u8 = 254;
const TYPE_LOCAL: u8 = 2;
const ATTRIBUTE_INTERFACE: u16 = 4;

//! The network between machines and this one: a bridge in a namespace of its own, without a way out.

use std::{
    fs::{self, File},
    io::{Error, ErrorKind},
    net::Ipv4Addr,
    os::fd::AsFd as _,
};

use anyhow::{Context as _, bail};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::{Machine, on_a_thread, unshare};
use crate::netlink::{End, Netlink};

/// A running network. This machine has one interface there, which goes when it is dropped, or its owner ends.
pub(crate) struct Switch {
    namespace: File,
    /// Tells it from the others on this machine.
    number: u8,
}

impl Switch {
    /// A new one, with this machine at it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let here = File::open(NETWORK)?;
        let namespace = on_a_thread(|| {
            unshare(UnshareFlags::NEWNET).context("this machine does not let us have namespaces")?;
            let mut network = Netlink::open()?;
            network.bridge(BRIDGE)?;
            network.up(BRIDGE)?;
            anyhow::Ok(File::open(NETWORK)?)
        })?;
        for number in NUMBERS {
            let switch = Self { namespace: namespace.try_clone()?, number };
            if switch.is_taken()? {
                continue;
            }
            match switch.connect("here", &End { name: &switch.interface(), namespace: here.as_fd() }) {
                Err(error) if is_there(&error) => {} // another process was faster
                outcome => {
                    outcome?;
                    let mut network = Netlink::open()?;
                    network.up(&switch.interface())?;
                    network.address(&switch.interface(), switch.address(), ADDRESS_BITS)?;
                    return Ok(switch);
                }
            }
        }
        bail!("every network from 10.{}.0.0/16 to 10.{}.0.0/16 is in use", NUMBERS.start(), NUMBERS.end())
    }

    /// The address of this machine there.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 1)
    }

    /// The address of machine `index`, from 1.
    pub(crate) fn machine(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 10 + index)
    }

    /// The network (/24) of the Pods on machine `index`, from 1.
    pub(crate) fn pods(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, index, 0)
    }

    /// All networks of Pods.
    pub(crate) fn all_pods(&self) -> String {
        format!("{}/16", Ipv4Addr::new(10, self.number, 0, 0))
    }

    /// Connects machine `index` of `count` with all others and their Pods. There is no other route.
    pub(crate) fn plug(&self, machine: &Machine, index: u8, count: u8) -> anyhow::Result<()> {
        let namespace = machine.network()?;
        self.connect(&format!("machine{index}"), &End { name: "eth0", namespace: namespace.as_fd() })?;
        machine.inside(|| {
            let mut network = Netlink::open()?;
            network.up("lo")?;
            network.up("eth0")?;
            network.address("eth0", self.machine(index), ADDRESS_BITS)?;
            for other in (1..=count).filter(|other| *other != index) {
                network.route(self.pods(other), ADDRESS_BITS, self.machine(other))?;
            }
            Ok(())
        })?;
        Netlink::open()?.route(self.pods(index), ADDRESS_BITS, self.machine(index))
    }

    fn connect(&self, port: &str, far: &End<'_>) -> anyhow::Result<()> {
        on_a_thread(|| {
            move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Netlink::open()?.cable(BRIDGE, port, far)
        })
    }

    /// What the interface of this machine is called.
    pub(crate) fn interface(&self) -> String {
        format!("berth{}", self.number)
    }

    /// Whether this machine has a route to such addresses already.
    fn is_taken(&self) -> anyhow::Result<bool> {
        // Destinations are hexadecimal, with the first octet at the end.
        let ours = format!("{:02X}0A", self.number);
        let routes = fs::read_to_string("/proc/thread-self/net/route")?;
        Ok(routes.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).any(|to| to.ends_with(&ours)))
    }
}

fn is_there(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::AlreadyExists)
}

/// The namespace of the thread that opens it.
const NETWORK: &str = "/proc/thread-self/ns/net";
const BRIDGE: &str = "bridge";
/// Second octets: `10.N.0.0/24` for machines, `10.N.I.0/24` for the Pods of machine I.
const NUMBERS: std::ops::RangeInclusive<u8> = 200..=239;
const ADDRESS_BITS: u8 = 24;

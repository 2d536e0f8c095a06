//! A network of its own: every address of the world is this machine, every name is the test's, every packet is seen.
//!
//! It is a thread in its own network and mount namespaces, with what that thread starts. Nothing leaves it.

mod capture;
mod doors;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;
use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    thread::UnshareFlags,
};
use tokio::{net::TcpListener, runtime::Builder};

pub use self::{
    capture::{Capture, Packet},
    doors::{Doors, Knock},
};
use crate::{netlink::Netlink, processes::Folder};

/// What can be changed in an enclave.
pub struct Enclave {
    hosts: PathBuf,
}

impl Enclave {
    /// Adds a line to `/etc/hosts`.
    pub fn add_host(&self, line: &str) -> anyhow::Result<()> {
        // Written in place: a new file would not be the one that is bound.
        Ok(fs::write(&self.hosts, [&fs::read_to_string(&self.hosts)?, line, "\n"].concat())?)
    }
}

/// Runs `task` in a new enclave, and waits for it. `127.0.0.1` is the name server there, and `/etc/hosts` knows
/// `localhost` alone.
///
/// # Errors
/// Where this machine has no namespaces for us.
///
/// # Panics
/// As the task does.
pub fn inside<T, F>(task: impl FnOnce(Enclave) -> F + Send + 'static) -> anyhow::Result<T>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let live = move || {
        let folder = Folder::new("enclave")?;
        let enclave = enter(&folder)?;
        anyhow::Ok(Builder::new_current_thread().enable_all().build()?.block_on(task(enclave)))
    };
    let thread = thread::Builder::new().name("enclave".to_owned()).spawn(live)?;
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Moves this thread, and what it will start, into namespaces of their own.
fn enter(folder: &Folder) -> anyhow::Result<Enclave> {
    #[expect(deprecated, reason = "no file descriptor is given up, and the thread was made for this")]
    rustix::thread::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET)
        .context("this machine does not let us have namespaces")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).context("cannot unbind mounts")?;
    let hosts = folder.write("hosts", HOSTS)?;
    for (file, over) in [(&hosts, "/etc/hosts"), (&folder.write("resolv.conf", RESOLVER)?, "/etc/resolv.conf")] {
        mount_bind(file, Path::new(over)).with_context(|| format!("cannot mount over {over}"))?;
    }
    let mut network = Netlink::open()?;
    network.up("lo")?;
    network.everything_is_here()?;
    Ok(Enclave { hosts })
}

/// Makes namespaces possible for whoever is not root, where the machine allows it; to be called before there is any
/// other thread.
///
/// # Errors
/// Why there will be no [`Enclave`] on this machine.
pub fn prepare() -> anyhow::Result<()> {
    let owner = fs::metadata("/proc/self")?;
    if owner.uid() != 0 {
        #[expect(deprecated, reason = "there is no other thread")]
        rustix::thread::unshare(UnshareFlags::NEWUSER).context("neither root nor user namespaces")?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {} 1", owner.uid()))?;
        fs::write("/proc/self/gid_map", format!("0 {} 1", owner.gid()))?;
    }
    let elsewhere = inside(async |_| TcpListener::bind("8.8.8.8:443").await.map(drop))?;
    elsewhere.context("other addresses than its own cannot be had")
}

const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";
/// As in a Pod: every name may be one of the cluster's.
const RESOLVER: &str =
    "nameserver 127.0.0.1\nsearch berth.svc.cluster.local svc.cluster.local\noptions ndots:5 timeout:1 attempts:1\n";

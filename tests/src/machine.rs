//! A machine of its own on this one: its own network, mounts, host name and process ids, and a part of the control
//! groups. Needs root.
//!
//! What it holds has no name outside: when the first of its processes ends, the kernel ends all the others and takes
//! mounts, interfaces and routes away. That first process reads from a pipe whose only other end is
//! ours, so a machine ends with its owner, whatever happens to it.

mod cgroups;
mod switch;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, PipeWriter, pipe},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, bail};
use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    process::{Pid, PidfdFlags, pidfd_open},
    system::sethostname,
    thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces},
};

pub(crate) use self::{cgroups::Cgroups, switch::Switch};
use crate::processes::Folder;

/// A running machine. It ends when it is dropped, or its owner ends.
pub(crate) struct Machine {
    init: Child,
    namespaces: Arc<OwnedFd>,
    _life: PipeWriter,
}

impl Machine {
    /// Starts a machine that is called `name`. Below `folder` are its own `/run`, `/var/lib` and `/var/log`, empty at
    /// first, and `resolver` is its `/etc/resolv.conf`. It has no interface but loopback, which is down.
    pub(crate) fn start(name: &str, folder: &Folder, resolver: &str) -> anyhow::Result<Self> {
        let own = own_files(folder, resolver)?;
        let boot = || {
            let apart = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWUTS | UnshareFlags::NEWPID;
            unshare(apart).context("this machine does not let us have namespaces")?;
            sethostname(name.as_bytes()).context("the host name cannot be set")?;
            let all = MountPropagationFlags::REC;
            mount_change("/", MountPropagationFlags::PRIVATE | all).context("cannot unbind mounts")?;
            mount_change("/", MountPropagationFlags::SHARED | all).context("cannot share mounts with containers")?;
            for (file, over) in &own {
                mount_bind(file, over).with_context(|| format!("cannot mount over {}", over.display()))?;
            }
            boot(folder)
        };
        let (init, life) = on_a_thread(boot).with_context(|| format!("{name} does not start"))?;
        let id = i32::try_from(init.id()).ok().and_then(Pid::from_raw).context("a process has an id")?;
        let namespaces = Arc::new(pidfd_open(id, PidfdFlags::empty())?);
        Ok(Self { init, namespaces, _life: life })
    }

    /// Does something there. The task may start processes, but no threads.
    pub(crate) fn inside<T: Send>(&self, task: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        inside(&self.namespaces, task)
    }

    /// Runs a program there to its end. The caller looks at the exit status.
    pub(crate) async fn output(&self, mut command: Command) -> anyhow::Result<Output> {
        let namespaces = self.namespaces.clone();
        let run = move || inside(&namespaces, || Ok(command.output()?));
        tokio::task::spawn_blocking(run).await?
    }

    /// The id of its first process, as it is seen from here.
    pub(crate) fn id(&self) -> u32 {
        self.init.id()
    }

    /// Its network namespace.
    fn network(&self) -> anyhow::Result<File> {
        Ok(File::open(format!("/proc/{}/ns/net", self.init.id()))?)
    }

    /// Ends everything that runs there, without waiting.
    pub(crate) fn kill(&mut self) {
        // It fails only where it has ended.
        let _ = self.init.kill();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        // The first process is the last to end; whoever started others there must have waited for them.
        let _ = self.init.wait();
    }
}

/// Starts the first process, and waits until it has mounted what only it can: `/proc` shows the processes of whoever
/// mounts it.
fn boot(folder: &Folder) -> anyhow::Result<(Child, PipeWriter)> {
    let (alive, life) = pipe()?;
    let log = folder.path().join("boot.log");
    let mut init = Command::new("sh");
    init.args(["-c", INIT, "init"]).arg(folder.path()).process_group(0);
    init.stdin(alive).stdout(Stdio::piped()).stderr(File::create(&log)?);
    let mut init = init.spawn().context("cannot start sh")?;
    let mut said = String::new();
    BufReader::new(init.stdout.take().context("init was started with a pipe")?).read_line(&mut said)?;
    if said.trim_end() != READY {
        let status = init.wait()?;
        bail!("{status}: {}", fs::read_to_string(&log)?.trim_end());
    }
    Ok((init, life))
}

/// What the machine has of its own: each file or folder, and over what it is mounted.
fn own_files(folder: &Folder, resolver: &str) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let sysctls = folder.path().join("sysctls");
    fs::create_dir(&sysctls)?;
    for (name, value) in SYSCTLS {
        fs::write(sysctls.join(name), value)?;
    }
    let mut own = vec![(folder.write("resolv.conf", resolver)?, fs::canonicalize("/etc/resolv.conf")?)];
    for over in ["/run", "/var/lib", "/var/log"] {
        let below = folder.path().join(over.trim_start_matches('/').replace('/', "-"));
        fs::create_dir(&below)?;
        own.push((below, Path::new(over).to_owned()));
    }
    Ok(own)
}

fn inside<T: Send>(namespaces: &OwnedFd, task: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    on_a_thread(|| {
        // Whoever shares its working directory with other threads cannot change its mounts.
        unshare(UnshareFlags::FS)?;
        let there = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::NETWORK
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::PROCESS_ID;
        move_into_thread_name_spaces(namespaces.as_fd(), there).context("the machine has ended")?;
        task()
    })
}

/// Runs `task` on a thread that ends with it: namespaces belong to threads.
fn on_a_thread<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    thread::scope(|threads| threads.spawn(task).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

fn unshare(apart: UnshareFlags) -> rustix::io::Result<()> {
    #[expect(deprecated, reason = "no file descriptor is given up, and the thread was made for this")]
    rustix::thread::unshare(apart)
}

/// It becomes `cat`, because the `read` of some shells returns when an orphan ends. SIGCHLD stays ignored: the kernel
/// reaps orphans.
const INIT: &str = r#"set -e
mount -t proc proc /proc
cd "$1/sysctls"
for sysctl in *; do mount --bind "$sysctl" "/proc/sys/$(echo "$sysctl" | tr . /)"; done
cd /
trap '' CHLD
echo ready
exec cat >/dev/null"#;
const READY: &str = "ready";
/// What the kubelet insists on. It would write them for the whole kernel; here it finds them as it wants them.
/// Source: `setupKernelTunables` in `pkg/kubelet/cm/container_manager_linux.go`.
const SYSCTLS: [(&str, &str); 4] = [
    ("vm.overcommit_memory", "1\n"),
    ("vm.panic_on_oom", "0\n"),
    ("kernel.panic", "10\n"),
    ("kernel.panic_on_oops", "1\n"),
];

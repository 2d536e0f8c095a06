//! A subtree of the control groups, in every hierarchy of version 1, or in the one of version 2.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::processes::Guard;

/// Control groups of the same name, one in each hierarchy. They are removed with their owner.
pub(crate) struct Cgroups {
    name: String,
    folders: Vec<PathBuf>,
    guard: Guard,
}

impl Cgroups {
    /// Makes them.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let hierarchies = if Path::new(ROOT).join(CONTROLLERS).exists() { unified()? } else { separate()? };
        let folders: Vec<_> = hierarchies.iter().map(|hierarchy| hierarchy.join(name)).collect();
        let guard = Guard::over_cgroups(&folders)?;
        let cgroups = Self { name: name.to_owned(), folders, guard };
        for folder in &cgroups.folders {
            fs::create_dir(folder).with_context(|| format!("cannot make the control group {}", folder.display()))?;
            inherit_cpus(folder)?;
        }
        Ok(cgroups)
    }

    /// What they are called, below the root of each hierarchy.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for Cgroups {
    /// What ran there has ended, or is ending.
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVE_LIMIT;
        loop {
            let left = self.folders.iter().filter(|folder| remove(folder).is_err()).count();
            if left == 0 {
                return self.guard.dismiss();
            }
            if Instant::now() > deadline {
                return; // the guard tries again
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The hierarchies of version 1, and that of version 2 where it is mounted beside them.
fn separate() -> anyhow::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    // One may be mounted at two names, where the one is a symbolic link (`cpu,cpuacct`).
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        // That of version 2 beside them has no controllers; containers get groups there all the same.
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(place))
    });
    let hierarchies: Vec<_> = places.collect();
    let has =
        |name: &str| hierarchies.iter().any(|place| place.ends_with(name) || place.to_string_lossy().contains(name));
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| !has(name)).collect();
    ensure!(missing.is_empty(), "there is no hierarchy of control groups for {}", missing.join(", "));
    Ok(hierarchies)
}

/// The one of version 2, with everything that a kubelet needs handed down to the groups below its root.
fn unified() -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    let words = |file: &str| -> anyhow::Result<Vec<String>> {
        Ok(fs::read_to_string(root.join(file))?.split_whitespace().map(str::to_owned).collect())
    };
    let (available, handed) = (words(CONTROLLERS)?, words(HANDED_DOWN)?);
    let missing: Vec<_> = NEEDED_UNIFIED.into_iter().filter(|name| !available.iter().any(|has| has == name)).collect();
    ensure!(missing.is_empty(), "the control groups have no controllers for {}", missing.join(", "));
    let wanted = NEEDED_UNIFIED.into_iter().chain(OPTIONAL_UNIFIED);
    for controller in
        wanted.filter(|name| available.iter().any(|has| has == name) && !handed.iter().any(|has| has == name))
    {
        let add = fs::write(root.join(HANDED_DOWN), format!("+{controller}"));
        add.with_context(|| format!("{ROOT} cannot hand down {controller}, as it has processes of its own"))?;
    }
    Ok(vec![root.to_owned()])
}

/// A new group of version 1 has no processors at all.
fn inherit_cpus(folder: &Path) -> anyhow::Result<()> {
    let parent = folder.parent().context("a control group has a parent")?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if folder.join(file).exists() && fs::read_to_string(folder.join(file))?.trim().is_empty() {
            let inherited = fs::read_to_string(parent.join(file)).unwrap_or_default();
            if !inherited.trim().is_empty() {
                fs::write(folder.join(file), inherited)?;
            }
        }
    }
    Ok(())
}

/// Removes a group and all below it. Only folders can be removed there, their files go with them.
fn remove(folder: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

const ROOT: &str = "/sys/fs/cgroup";
/// Of version 2 only.
const CONTROLLERS: &str = "cgroup.controllers";
const HANDED_DOWN: &str = "cgroup.subtree_control";
/// Without these there is no kubelet.
/// Source: `pkg/kubelet/cm/container_manager_linux.go`, `validateSystemRequirements`.
const NEEDED: [&str; 4] = ["cpu", "cpuacct", "cpuset", "memory"];
const NEEDED_UNIFIED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// The kubelet insists on it where it is to be had.
const OPTIONAL_UNIFIED: [&str; 1] = ["hugetlb"];
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

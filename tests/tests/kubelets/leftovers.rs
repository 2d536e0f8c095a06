//! Nothing is left of a cluster with nodes, however its owner ends.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::ensure;
use berth_tests::{image::Image, kubelet::Kubelets, wait::until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::block_on;

/// The tests, by name.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("leftovers::dropping_leaves_nothing", || leaves_nothing(End::Drop)),
    ("leftovers::killing_the_owner_leaves_nothing", || leaves_nothing(End::Kill)),
    ("leftovers::an_interrupt_leaves_nothing", || leaves_nothing(End::Interrupt)),
];

/// How the owner of a cluster ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Drop,
    Kill,
    Interrupt,
}

/// Each is another process, with a folder for temporary files of its own, so that nothing of other tests is mistaken
/// for its own.
fn leaves_nothing(end: End) {
    block_on(async {
        let temporary = tempfile::Builder::new().prefix("leftovers-").tempdir()?;
        let mut owner = Command::new(env::current_exe()?)
            .env(OWNER, "1")
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.find_map(|line| line.strip_prefix(OWNER).map(str::to_owned)).unwrap();
        let interface = told.trim();
        let there = traces(temporary.path(), interface)?;
        for kind in ["process", "file", "interface", "control group"] {
            ensure!(there.iter().any(|trace| trace.starts_with(kind)), "no {kind} is seen: {there:#?}");
        }
        end_of(&mut owner, end)?;
        owner.wait()?;
        until("nothing is left", LIMIT, async || {
            let left = traces(temporary.path(), interface)?;
            ensure!(left.is_empty(), "{left:#?}");
            // Those have the names of folders, which are gone by now.
            let groups = there.iter().filter_map(|trace| trace.strip_prefix(GROUP));
            let left: Vec<_> = groups.filter(|group| Path::new(group).exists()).collect();
            ensure!(left.is_empty(), "{left:#?}");
            Ok(())
        })
        .await
    });
}

fn end_of(owner: &mut Child, end: End) -> anyhow::Result<()> {
    match end {
        End::Drop => drop(owner.stdin.take()), // it drops the cluster when its input ends
        End::Kill => owner.kill()?,
        End::Interrupt => kill_process(Pid::from_child(owner), Signal::INT)?,
    }
    Ok(())
}

/// Everything that can be seen of the cluster of the owner whose temporary files are below `temporary`.
fn traces(temporary: &Path, interface: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut traces = BTreeSet::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let file = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let says =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', " ").contains(&*temporary.to_string_lossy());
        // Containers say nothing of us in their arguments; their mounts do, and namespaces end with their processes.
        let (arguments, mounts) = (file("cmdline"), file("mountinfo"));
        if says(&arguments) || says(&mounts) {
            traces.insert(format!("process {}: {}", entry.file_name().display(), String::from_utf8_lossy(&arguments)));
        }
    }
    for entry in fs::read_dir(temporary)?.flatten() {
        traces.insert(format!("file {}", entry.path().display()));
        let name = entry.file_name().to_string_lossy().into_owned();
        for group in groups(Path::new("/sys/fs/cgroup"), 2) {
            if group.ends_with(&name) {
                traces.insert(format!("{GROUP}{group}"));
            }
        }
    }
    if fs::exists(Path::new("/sys/class/net").join(interface))? {
        traces.insert(format!("interface {interface}"));
    }
    Ok(traces)
}

fn groups(folder: &Path, depth: usize) -> Vec<String> {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let below = folders.flat_map(|entry| match depth {
        0 => Vec::new(),
        _ => [vec![entry.path().display().to_string()], groups(&entry.path(), depth - 1)].concat(),
    });
    below.collect()
}

/// The other half of the tests: a process that has a cluster with a running Pod until its input ends.
pub(crate) fn owner() -> Option<ExitCode> {
    env::var_os(OWNER)?;
    block_on(async {
        let nodes = Kubelets::start(&["node-a"]).await?;
        let (node, cluster) = (nodes.node("node-a"), nodes.cluster());
        node.import(&Image::of("left").await?, &["app:dev"]).await?;
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "app", "namespace": "default" },
            "spec": { "containers": [{ "name": "app", "image": "app:dev", "imagePullPolicy": "Never" }] },
        });
        cluster.apply(&pod.to_string()).await?;
        let wait = ["wait", "--for=condition=Ready", "pod/app", "--timeout=60s"];
        let waited = cluster.kubectl(&wait, "").await?;
        ensure!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
        println!("\n{OWNER}{}", nodes.interface());
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
        drop(nodes);
        Ok(())
    });
    Some(ExitCode::SUCCESS)
}

const GROUP: &str = "control group ";
const OWNER: &str = "BERTH_TESTS_KUBELETS_OWNER";
const LIMIT: Duration = Duration::from_secs(30);

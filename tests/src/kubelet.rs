//! Nodes that are real: each a kubelet, a containerd with runc and CNI, and a kube-proxy, on a machine of its own. Pods
//! run there, have addresses and logs, reach each other, Services and the API server, and nothing else in the world.

mod configuration;
mod enter;
mod images;
mod programs;

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Command, Output},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use tokio::sync::OnceCell;

use self::{
    configuration::{Settings, write_registry},
    programs::Programs,
};
use crate::{
    cluster::{Cluster, Options},
    dns::DnsServer,
    image::Image,
    lock::locked,
    machine::{Cgroups, Machine, Switch},
    processes::{Folder, Process},
    wait::until,
};

/// A running cluster with real nodes. It ends when it is dropped, or its owner ends.
pub struct Kubelets {
    nodes: Vec<Kubelet>,
    cluster: Cluster,
    /// The name server of the nodes, which knows no name that nobody told it.
    dns: DnsServer,
    switch: Switch,
}

/// One node: its machine and what runs there.
pub struct Kubelet {
    name: String,
    address: Ipv4Addr,
    settings: Settings,
    programs: Programs,
    process: Mutex<Option<Process>>,
    /// Ended before their machine, which ends last.
    others: Vec<Process>,
    machine: Machine,
    _cgroups: Cgroups,
    folder: Folder,
    data: Folder,
}

impl Kubelets {
    /// Why there can be none on this machine, if so.
    pub fn prepare() -> anyhow::Result<()> {
        ensure!(rustix::process::geteuid().is_root(), "real nodes need root");
        let switch = Switch::start()?;
        let folder = Folder::for_data("machine")?;
        let machine = Machine::start("machine", &folder, "")?;
        switch.plug(&machine, 1, 1)?;
        Cgroups::new(&cgroup(&folder)?).map(drop)
    }

    /// The two nodes `node-a` and `node-b` that the tests of one binary share; started for the first one that asks,
    /// ended with the process.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Kubelets> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(&["node-a", "node-b"])).await
    }

    /// Starts a cluster with nodes of these names, and waits until they are ready.
    pub async fn start(names: &[&str]) -> anyhow::Result<Self> {
        let (programs, pause) = tokio::try_join!(Programs::find(), Image::pause())?;
        let switch = tokio::task::spawn_blocking(Switch::start).await??;
        let dns = DnsServer::at(&format!("{}:53", switch.address())).await?;
        let options = Options { address: Some(switch.address()), ..Options::default() };
        let cluster = Cluster::start_with(&options).await?;
        let count = u8::try_from(names.len())?;
        let boot = (1..).zip(names).map(async |(index, name)| {
            let settings = Settings::new(name, index, &switch);
            let node = Kubelet::boot(settings, &cluster, programs.clone())?;
            switch.plug(&node.machine, index, count)?;
            node.run(&cluster, &pause).await
        });
        let nodes = try_join_all(boot).await?;
        Ok(Self { nodes, cluster, dns, switch })
    }

    /// The control plane.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Where the nodes reach this machine, and what a test serves there.
    pub fn address(&self) -> Ipv4Addr {
        self.switch.address()
    }

    /// This machine's interface to the nodes.
    pub fn interface(&self) -> String {
        self.switch.interface()
    }

    /// The name server of the nodes.
    pub fn dns(&self) -> &DnsServer {
        &self.dns
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Kubelet] {
        &self.nodes
    }

    /// The node of this name.
    ///
    /// # Panics
    /// Where there is none.
    #[expect(clippy::expect_used, reason = "a test that asks for a node that it did not start is wrong")]
    pub fn node(&self, name: &str) -> &Kubelet {
        self.nodes.iter().find(|node| node.name == name).expect("a node that was started")
    }

    /// Makes the nodes pull images of `host` from `endpoint`, as their administrator would with `hosts.toml`.
    pub fn registry_at(&self, host: &str, endpoint: &str) -> anyhow::Result<()> {
        self.nodes.iter().try_for_each(|node| write_registry(&node.folder, host, endpoint))
    }
}

impl Kubelet {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, as the node's status has it.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where its programs write their logs.
    pub fn logs(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program on the node's machine. The caller looks at the exit status.
    pub async fn run_there(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.programs.command(program);
        command.args(arguments);
        self.machine.output(command).await
    }

    /// Kills the kubelet (SIGKILL), as a crash would; the Pods go on.
    pub fn kill_kubelet(&self) -> anyhow::Result<()> {
        match locked(&self.process).take() {
            Some(mut kubelet) => kubelet.stop(Duration::ZERO).map(drop),
            None => Ok(()),
        }
    }

    /// Starts the kubelet anew.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.kill_kubelet()?;
        let command = self.programs.kubelet(&self.settings, &self.folder);
        let kubelet = Process::spawn_on(&self.machine, "kubelet", &command, self.folder.path())?;
        *locked(&self.process) = Some(kubelet);
        Ok(())
    }

    /// Waits until the API server calls it ready.
    pub async fn ready(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(cluster.client().await?);
        until(&format!("{} is ready", self.name), READY_LIMIT, async || {
            let status = nodes.get(&self.name).await?.status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready").context("it says nothing")?;
            ensure!(ready.status == "True", "it says {}", ready.message.as_deref().unwrap_or_default());
            Ok(())
        })
        .await
        .with_context(|| format!("the logs of {} are in {}", self.name, self.folder.path().display()))
    }

    /// The machine, without anything that runs there.
    fn boot(settings: Settings, cluster: &Cluster, programs: Programs) -> anyhow::Result<Self> {
        let (folder, data) = (Folder::new(&settings.name)?, Folder::for_data(&settings.name)?);
        let cgroups = Cgroups::new(&cgroup(&folder)?)?;
        let machine = Machine::start(&settings.name, &data, &settings.resolver())?;
        settings.write(&folder, cluster, &programs, &cgroups.path())?;
        Ok(Self {
            name: settings.name.clone(),
            address: settings.address,
            settings,
            programs,
            process: Mutex::new(None),
            others: Vec::new(),
            machine,
            _cgroups: cgroups,
            folder,
            data,
        })
    }

    /// Starts everything, and waits until the node is ready.
    async fn run(mut self, cluster: &Cluster, pause: &Image) -> anyhow::Result<Self> {
        self.spawn("containerd", &self.programs.containerd(&self.folder))?;
        let socket = self.data.path().join("run/containerd/containerd.sock");
        let serves = async || Ok(tokio::net::UnixStream::connect(&socket).await.map(drop)?);
        until(&format!("{}'s containerd serves", self.name), CONTAINERD_LIMIT, serves).await?;
        self.import(pause, &[configuration::PAUSE]).await?;
        self.spawn("kube-proxy", &self.programs.kube_proxy(&self.folder))?;
        self.restart()?;
        self.ready(cluster).await?;
        Ok(self)
    }

    fn spawn(&mut self, name: &str, command: &Command) -> anyhow::Result<()> {
        self.others.push(Process::spawn_on(&self.machine, name, command, self.folder.path())?);
        Ok(())
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // With the machine ends everything that runs there.
        self.machine.kill();
    }
}

/// A name for the control groups of the node with this folder.
fn cgroup(folder: &Folder) -> anyhow::Result<String> {
    let name = folder.path().file_name().context("a folder has a name")?;
    Ok(name.to_string_lossy().into_owned())
}

const CONTAINERD_LIMIT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_secs(60);

//! Starts the programs of the control plane and waits until they serve.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    slice,
    sync::Mutex,
    time::Duration,
};

use rcgen::KeyPair;

use super::Cluster;
use crate::{
    lock::locked,
    pki::Authority,
    port::Port,
    processes::{Folder, Process, while_running},
    programs::Program,
    wait::until,
};

/// What a cluster may differ in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags for the API server, such as `--enable-admission-plugins=NodeRestriction,AlwaysPullImages`; a flag
    /// that is given twice means what it says last.
    pub api_server: Vec<String>,
    /// Neither controllers nor scheduler: it starts sooner, `ServiceAccounts` are not needed and nothing is bound.
    pub only_api_server: bool,
    /// Where kubelets reach the API server; without, it is at loopback, and nodes are only written.
    pub address: Option<Ipv4Addr>,
}

impl Options {
    fn address(&self) -> Ipv4Addr {
        self.address.unwrap_or(Ipv4Addr::LOCALHOST)
    }
}

/// Starts a cluster; anew where another process has its port at an address other than loopback.
pub(super) async fn start(options: &Options) -> anyhow::Result<Cluster> {
    // Whoever comes first decides for the process; there is one provider in the workspace anyway.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let programs = Programs::find(options).await?;
    for _ in 1..ATTEMPTS {
        match start_once(options, &programs).await {
            Err(error) if format!("{error:#}").contains(PORT_TAKEN) => {}
            outcome => return outcome,
        }
    }
    start_once(options, &programs).await
}

async fn start_once(options: &Options, programs: &Programs) -> anyhow::Result<Cluster> {
    let (folder, data) = (Folder::new("cluster")?, Folder::for_data("etcd")?);
    let authority = Authority::new()?;
    let ports = [Port::free()?, Port::free()?];
    let [etcd_port, port] = ports.each_ref().map(Port::number);
    let server = format!("https://{}:{port}", options.address());
    let files = Files::write(&folder, &authority, &server, options.address())?;
    let etcd = programs.etcd(etcd_port, data.path());
    let api_server = programs.api_server(etcd_port, port, &files, options);
    let mut processes = vec![
        Process::spawn("etcd", &etcd, folder.path())?,
        Process::spawn("kube-apiserver", &api_server, folder.path())?,
    ];
    let has_controllers = !options.only_api_server;
    let mut cluster = Cluster {
        api_server: Mutex::new(None),
        api_server_command: api_server,
        processes: Vec::new(),
        server,
        kubectl: programs.kubectl.clone(),
        kubeconfig: files.admin.clone(),
        authority,
        has_controllers,
        folder,
        _data: data,
        _ports: ports,
    };
    ready(&cluster, &mut processes).await?;
    cluster.api_server = Mutex::new(processes.pop());
    cluster.processes = processes;
    if has_controllers {
        for (name, command) in [
            ("kube-controller-manager", programs.controller_manager(&files, options)),
            ("kube-scheduler", programs.scheduler(&files)),
        ] {
            cluster.processes.push(Process::spawn(name, &command, cluster.folder.path())?);
        }
        cluster.service_account("default").await?;
    }
    Ok(cluster)
}

/// Ends the API server that is `running`, by force after `grace`, and starts it anew.
pub(super) async fn restart(cluster: &Cluster, mut running: Process, grace: Duration) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || running.stop(grace)).await??;
    let mut started = Process::spawn("kube-apiserver", &cluster.api_server_command, cluster.folder.path())?;
    ready(cluster, slice::from_mut(&mut started)).await?;
    *locked(&cluster.api_server) = Some(started);
    Ok(())
}

/// Waits until the API server is ready, which is one of `processes`.
async fn ready(cluster: &Cluster, processes: &mut [Process]) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let ready = until("the API server is ready", READY_LIMIT, async || {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(request).await.map(drop)?)
    });
    while_running(processes, ready).await
}

/// Files that the programs read.
struct Files {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Signs the tokens of `ServiceAccounts`; its public half verifies them.
    token_key: PathBuf,
    token_public: PathBuf,
    /// Who the API server is to kubelets, for logs.
    kubelet_certificate: PathBuf,
    kubelet_key: PathBuf,
    admin: PathBuf,
    controller_manager: PathBuf,
    scheduler: PathBuf,
}

impl Files {
    fn write(folder: &Folder, authority: &Authority, server: &str, address: Ipv4Addr) -> anyhow::Result<Self> {
        let names = ["127.0.0.1", &address.to_string(), FIRST_SERVICE, "localhost", "kubernetes.default.svc"];
        let serving = authority.server(&names)?;
        let kubelet_client = authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        let tokens = KeyPair::generate()?;
        let kubeconfig = |name: &str, user: &str, group: Option<&str>| {
            folder.write(&format!("{name}.kubeconfig"), authority.kubeconfig(server, user, group)?)
        };
        Ok(Self {
            authority: folder.write("ca.crt", authority.certificate())?,
            certificate: folder.write("apiserver.crt", serving.certificate)?,
            key: folder.write("apiserver.key", serving.key)?,
            token_key: folder.write("tokens.key", tokens.serialize_pem())?,
            token_public: folder.write("tokens.pub", tokens.public_key_pem())?,
            kubelet_certificate: folder.write("kubelet-client.crt", kubelet_client.certificate)?,
            kubelet_key: folder.write("kubelet-client.key", kubelet_client.key)?,
            admin: kubeconfig("admin", "admin", Some("system:masters"))?,
            controller_manager: kubeconfig("controller-manager", "system:kube-controller-manager", None)?,
            scheduler: kubeconfig("scheduler", "system:kube-scheduler", None)?,
        })
    }
}

/// Where the programs are, and how each is called.
struct Programs {
    etcd: PathBuf,
    api_server: PathBuf,
    controller_manager: PathBuf,
    scheduler: PathBuf,
    kubectl: PathBuf,
}

impl Programs {
    async fn find(options: &Options) -> anyhow::Result<Self> {
        // The API server first: whichever is built first builds the packages that all of Kubernetes shares.
        let (etcd, api_server) = (Program::Etcd.path().await?, Program::ApiServer.path().await?);
        let (mut controller_manager, mut scheduler) = (PathBuf::new(), PathBuf::new());
        if !options.only_api_server {
            controller_manager = Program::ControllerManager.path().await?;
            scheduler = Program::Scheduler.path().await?;
        }
        Ok(Self { etcd, api_server, controller_manager, scheduler, kubectl: Program::Kubectl.path().await? })
    }

    fn etcd(&self, port: u16, data: &Path) -> Command {
        let mut command = Command::new(&self.etcd);
        let url = format!("http://127.0.0.1:{port}");
        command.arg(flag("--data-dir", data));
        command.args([flag("--listen-client-urls", &url), flag("--advertise-client-urls", &url)]);
        command.args(["--listen-peer-urls=http://127.0.0.1:0", "--unsafe-no-fsync"]);
        command
    }

    fn api_server(&self, etcd_port: u16, port: u16, files: &Files, options: &Options) -> Command {
        let mut command = Command::new(&self.api_server);
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
            .arg(format!("--secure-port={port}"))
            .arg(flag("--tls-cert-file", &files.certificate))
            .arg(flag("--tls-private-key-file", &files.key))
            .arg(flag("--client-ca-file", &files.authority))
            .arg(flag("--service-account-key-file", &files.token_public))
            .arg(flag("--service-account-signing-key-file", &files.token_key))
            .arg(flag("--kubelet-client-certificate", &files.kubelet_certificate))
            .arg(flag("--kubelet-client-key", &files.kubelet_key))
            .arg(format!("--bind-address={}", options.address()))
            .arg(format!("--advertise-address={}", options.address()))
            // The Service `kubernetes` may not have a loopback endpoint.
            .args(options.address.is_none().then_some("--endpoint-reconciler-type=none"))
            .args([
                "--kubelet-preferred-address-types=InternalIP",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                // Webhooks behind Services are dialled at their endpoints, without kube-proxy.
                "--enable-aggregator-routing=true",
            ])
            .args(options.only_api_server.then_some("--disable-admission-plugins=ServiceAccount"))
            .args(&options.api_server);
        command
    }

    fn controller_manager(&self, files: &Files, options: &Options) -> Command {
        let mut command = Command::new(&self.controller_manager);
        command
            .arg(flag("--kubeconfig", &files.controller_manager))
            .arg(flag("--service-account-private-key-file", &files.token_key))
            .arg(flag("--root-ca-file", &files.authority))
            .args(["--use-service-account-credentials=true", "--leader-elect=false", "--secure-port=0"]);
        if options.address.is_none() {
            // Nodes without a kubelet send no heartbeats: what a test wrote stays true.
            command.arg("--node-monitor-grace-period=24h");
        }
        command
    }

    fn scheduler(&self, files: &Files) -> Command {
        let mut command = Command::new(&self.scheduler);
        command.arg(flag("--kubeconfig", &files.scheduler)).args(["--leader-elect=false", "--secure-port=0"]);
        command
    }
}

/// `--name=value`.
fn flag(name: &str, value: impl AsRef<std::ffi::OsStr>) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from(name);
    flag.push("=");
    flag.push(value);
    flag
}

/// The address of the Service `kubernetes`.
const FIRST_SERVICE: &str = "10.96.0.1";
/// Starts before a lost race for a port is an error.
const ATTEMPTS: usize = 3;
/// What etcd and the API server say then.
const PORT_TAKEN: &str = "address already in use";
const READY_LIMIT: Duration = Duration::from_secs(90);

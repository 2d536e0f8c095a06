//! A Kubernetes cluster of real programs on loopback: etcd, API server, controllers, scheduler. No kubelets: its
//! nodes are objects with the images that a test chooses ([`Node`]), and Pods are bound to them but never run. Where
//! they should run, there are [`Kubelets`](crate::kubelet::Kubelets).

mod control_plane;
mod node;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::sync::OnceCell;

pub use self::{control_plane::Options, node::Node};
use crate::{
    lock::locked,
    pki::Authority,
    port::Port,
    processes::{Folder, Process},
    wait::until,
};

/// A running cluster. It ends when it is dropped, and also when the process that started it ends in any other way.
pub struct Cluster {
    /// Empty while it is being restarted.
    api_server: Mutex<Option<Process>>,
    api_server_command: Command,
    /// All others.
    processes: Vec<Process>,
    server: String,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    authority: Authority,
    has_controllers: bool,
    folder: Folder,
    _data: Folder,
    /// Theirs also while the API server is being restarted.
    _ports: [Port; 2],
}

impl Cluster {
    /// A cluster with everything, of its own.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&Options::default()).await
    }

    /// A cluster as `options` say.
    pub async fn start_with(options: &Options) -> anyhow::Result<Self> {
        control_plane::start(options).await
    }

    /// The cluster that the tests of one binary share; started for the first one that asks, ended with the process.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A kubeconfig file of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubectl of the cluster's version.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// A folder for files that should end with the cluster, and be kept with its logs when a test fails.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Scheme, host and port of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The authority that every certificate of the cluster comes from.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The ids of its processes.
    pub fn process_ids(&self) -> Vec<u32> {
        self.processes.iter().chain(locked(&self.api_server).as_ref()).map(Process::id).collect()
    }

    /// What the API server has logged.
    pub fn api_server_log(&self) -> String {
        locked(&self.api_server).as_ref().map(Process::log).unwrap_or_default()
    }

    /// Ends the API server, by SIGTERM and after `grace` by SIGKILL, and starts it anew where it was; waits until it is
    /// ready.
    pub async fn restart_api_server(&self, grace: Duration) -> anyhow::Result<()> {
        let running = locked(&self.api_server).take().context("it is being restarted already")?;
        control_plane::restart(self, running, grace).await
    }

    /// A client with an administrator's rights. Not to be shared between tests: it belongs to the runtime it is made in.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.client_config().await?)?)
    }

    /// A client that is `user`, a member of `groups`, and of `system:authenticated`.
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> anyhow::Result<Client> {
        let mut config = self.client_config().await?;
        config.headers.push((IMPERSONATE_USER.parse()?, user.parse()?));
        for group in groups.iter().copied().chain(["system:authenticated"]) {
            config.headers.push((IMPERSONATE_GROUP.parse()?, group.parse()?));
        }
        Ok(Client::try_from(config)?)
    }

    /// Runs kubectl as an administrator, with `input` on its standard input. The caller looks at the exit status.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.kubectl);
        command.arg("--cache-dir").arg(self.folder.path().join("kubectl"));
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        let run = move || {
            let mut child = command.spawn().context("cannot start kubectl")?;
            child.stdin.take().context("kubectl was started with a pipe")?.write_all(input.as_bytes())?;
            Ok(child.wait_with_output()?)
        };
        tokio::task::spawn_blocking(run).await?
    }

    /// `kubectl apply` of `manifest` (YAML or JSON), and what it said: results, then warnings.
    pub async fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        let output = self.kubectl(&["apply", "-f", "-"], manifest).await?;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        ensure!(output.status.success(), "kubectl apply: {said}");
        Ok(said)
    }

    /// Creates a namespace with these labels; one that is there gets them.
    pub async fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
        let client = self.client().await?;
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let metadata = json!({ "name": name, "labels": labels });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
        let namespaces: Api<Namespace> = Api::all(client);
        namespaces.patch(name, &PatchParams::apply("berth-tests"), &Patch::Apply(namespace)).await?;
        self.service_account(name).await
    }

    /// The Pods of `namespace`.
    pub async fn pods(&self, namespace: &str) -> anyhow::Result<Api<Pod>> {
        Ok(Api::namespaced(self.client().await?, namespace))
    }

    /// Waits until the scheduler has bound the Pod, and names the node.
    pub async fn node_of(&self, namespace: &str, pod: &str) -> anyhow::Result<String> {
        let pods = self.pods(namespace).await?;
        until(&format!("{namespace}/{pod} is bound to a node"), BOUND_LIMIT, async || {
            let pod = pods.get(pod).await?;
            match pod.spec.and_then(|spec| spec.node_name) {
                Some(node) => Ok(node),
                None => bail!("its conditions are {:?}", pod.status.and_then(|status| status.conditions)),
            }
        })
        .await
    }

    /// An address of this machine at which the API server speaks HTTP/1.1 to a webhook, as it does to Services.
    ///
    /// It offers h2 only where the URL's host is `localhost` or a loopback address; this one is neither for it, while
    /// dialling it stays on the machine and needs no rights.
    pub fn other_address(&self) -> &'static str {
        "0.0.0.0"
    }

    /// Pods can be created only once their namespace has its `default` `ServiceAccount`.
    async fn service_account(&self, namespace: &str) -> anyhow::Result<()> {
        if !self.has_controllers {
            return Ok(());
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let what = format!("the namespace {namespace} has its ServiceAccount");
        until(&what, ACCOUNT_LIMIT, async || Ok(accounts.get("default").await.map(drop)?)).await
    }

    async fn client_config(&self) -> anyhow::Result<Config> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All are asked before the first is waited for.
        self.processes.iter_mut().chain(locked(&self.api_server).as_mut()).for_each(Process::terminate);
    }
}

const IMPERSONATE_USER: &str = "impersonate-user";
const IMPERSONATE_GROUP: &str = "impersonate-group";
const ACCOUNT_LIMIT: Duration = Duration::from_secs(60);
const BOUND_LIMIT: Duration = Duration::from_secs(30);

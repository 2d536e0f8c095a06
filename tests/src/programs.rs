//! The programs of the cluster: taken from `KUBEBUILDER_ASSETS`, or built once by Go.
//!
//! What is built is pinned by the Go modules in `programs/` (`go.mod` and `go.sum`), and kept outside the clone, in
//! `$XDG_CACHE_HOME/berth/programs` (`~/.cache` by default), under a name that changes with all that it was made from.

pub(crate) mod packages;
pub mod sources;

use std::{
    env,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::{programs::packages::LIBSECCOMP, progress::Progress};

/// A program that the tests run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// The store of the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// Makes Pods from Deployments, `ServiceAccounts` for namespaces, taints for nodes.
    ControllerManager,
    /// Binds Pods to nodes.
    Scheduler,
    /// What people type.
    Kubectl,
    /// Installs the chart.
    Helm,
    /// The distribution project's registry.
    Registry,
    /// Applies JSON patches with the API server's own library.
    Oracle,
    /// Runs the Pods of a node.
    Kubelet,
    /// Makes Services reachable on a node.
    KubeProxy,
    /// Holds images and runs containers.
    Containerd,
    /// Stands between containerd and a container.
    Shim,
    /// containerd's own command line.
    Ctr,
    /// Makes a container of a process.
    Runc,
    /// Gives Pods their network interface.
    Bridge,
    /// Brings their loopback up.
    Loopback,
    /// Chooses their addresses.
    HostLocal,
    /// What runs in the images of the tests.
    App,
}

impl Program {
    /// The path of the program; builds it if need be, which takes minutes the first time and says so on standard error.
    pub async fn path(self) -> anyhow::Result<PathBuf> {
        tokio::task::spawn_blocking(move || self.find_or_build()).await?
    }

    fn find_or_build(self) -> anyhow::Result<PathBuf> {
        let asset = env::var_os(ASSETS).map(|folder| Path::new(&folder).join(self.name()));
        if let Some(asset) = asset.filter(|asset| asset.is_file()) {
            return Ok(asset);
        }
        let go = Go::find(&self.module())?;
        let folder = cache()?.join(self.key(&go)?);
        let path = folder.join(self.name());
        if path.is_file() {
            return Ok(path);
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let _alone = lock(&folder)?;
        if !path.is_file() {
            self.build(&go, &folder).with_context(|| format!("cannot build {}", self.name()))?;
        }
        Ok(path)
    }

    /// The file's name, as in `KUBEBUILDER_ASSETS`.
    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Registry => "registry",
            Self::Oracle => "oracle",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Containerd => "containerd",
            Self::Shim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::Runc => "runc",
            Self::Bridge => "bridge",
            Self::Loopback => "loopback",
            Self::HostLocal => "host-local",
            Self::App => "app",
        }
    }

    /// The Go package, and about how long two cores need for it with empty caches.
    fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::Etcd => ("go.etcd.io/etcd/server/v3", "about half a minute"),
            Self::ApiServer => ("k8s.io/kubernetes/cmd/kube-apiserver", "about 4 minutes"),
            Self::ControllerManager => ("k8s.io/kubernetes/cmd/kube-controller-manager", "about a minute"),
            Self::Scheduler => ("k8s.io/kubernetes/cmd/kube-scheduler", "about half a minute"),
            Self::Kubectl => ("k8s.io/kubernetes/cmd/kubectl", "about half a minute"),
            Self::Helm => ("helm.sh/helm/v4/cmd/helm", "about 2 minutes"),
            Self::Registry => ("github.com/distribution/distribution/v3/cmd/registry", "about a minute"),
            Self::Oracle | Self::App => (".", "a few seconds"),
            Self::Kubelet => ("k8s.io/kubernetes/cmd/kubelet", "about half a minute"),
            Self::KubeProxy => ("k8s.io/kubernetes/cmd/kube-proxy", "about half a minute"),
            Self::Containerd => ("github.com/containerd/containerd/v2/cmd/containerd", "about a minute"),
            Self::Shim => ("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "a few seconds"),
            Self::Ctr => ("github.com/containerd/containerd/v2/cmd/ctr", "a few seconds"),
            Self::Runc => ("github.com/opencontainers/runc", "some seconds"),
            Self::Bridge => ("github.com/containernetworking/plugins/plugins/main/bridge", "some seconds"),
            Self::Loopback => ("github.com/containernetworking/plugins/plugins/main/loopback", "a few seconds"),
            Self::HostLocal => ("github.com/containernetworking/plugins/plugins/ipam/host-local", "a few seconds"),
        }
    }

    /// The folder of the Go module that pins it. Families have modules of their own: together their versions fight.
    fn module(self) -> PathBuf {
        let family = match self {
            Self::Etcd => "etcd",
            Self::ApiServer
            | Self::ControllerManager
            | Self::Scheduler
            | Self::Kubectl
            | Self::Kubelet
            | Self::KubeProxy => "kubernetes",
            Self::Helm => "helm",
            Self::Registry => "registry",
            Self::Oracle => "oracle",
            Self::Containerd | Self::Shim | Self::Ctr => "containerd",
            Self::Runc => "runc",
            Self::Bridge | Self::Loopback | Self::HostLocal => "cni",
            Self::App => "app",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(family)
    }

    /// A name that changes with everything the program is made from.
    fn key(self, go: &Go) -> anyhow::Result<String> {
        let module = self.module();
        let mut sources = fs::read_dir(&module)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        sources.sort();
        let mut hash = Sha256::new_with_prefix(format!("{} {}\n", go.version, go.platform));
        for source in sources {
            hash.update(fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?);
        }
        let family = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest: String = format!("{:x}", hash.finalize()).chars().take(KEY_LENGTH).collect();
        Ok(format!("{family}-{digest}"))
    }

    /// Builds into a temporary folder and renames, so that nobody ever sees half a program.
    fn build(self, go: &Go, into: &Path) -> anyhow::Result<()> {
        let (package, duration) = self.package();
        if self.is_c() {
            packages::install(&[LIBSECCOMP])?;
        }
        let unfinished = tempfile::tempdir_in(into)?;
        let (program, log) = (unfinished.path().join(self.name()), unfinished.path().join("log"));
        let mut build = Command::new("go")
            .current_dir(self.module())
            .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags"])
            .arg(self.linker_flags()?)
            .args(self.is_c().then_some("-tags=seccomp"))
            .arg("-o")
            .args([program.as_os_str(), package.as_ref()])
            .env("CGO_ENABLED", if self.is_c() { "1" } else { "0" })
            .env("GOWORK", "off")
            .stderr(File::create(&log)?)
            .spawn()?;
        let progress =
            Progress::start(format!("building {} by {} ({duration} with empty caches)", self.name(), go.version));
        let status = progress.watch(&mut build)?;
        ensure!(status.success(), "go build {package}: {status}\n{}", fs::read_to_string(&log)?.trim_end());
        fs::rename(&program, into.join(self.name()))?;
        Ok(())
    }

    /// Whether C is in it. Without libseccomp, runc refuses the containers of every Pod.
    fn is_c(self) -> bool {
        self == Self::Runc
    }

    /// Kubernetes takes its version from the linker: without it the API server calls itself v0.0.0.
    fn linker_flags(self) -> anyhow::Result<String> {
        let module = fs::read_to_string(self.module().join("go.mod"))?;
        let Some(version) = module.lines().find_map(|line| line.strip_prefix("require k8s.io/kubernetes ")) else {
            return Ok("-s -w".to_owned());
        };
        let minor = version.split('.').nth(1).context("a Kubernetes version without a minor")?;
        let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
        Ok(["-s -w", &set("gitVersion", version), &set("gitMajor", "1"), &set("gitMinor", minor)].concat())
    }
}

/// The Go toolchain.
struct Go {
    version: String,
    platform: String,
}

impl Go {
    /// Asks inside `module`, where Go compares itself with what `go.mod` needs (and may fetch that toolchain itself).
    fn find(module: &Path) -> anyhow::Result<Self> {
        let asked = Command::new("go").current_dir(module).args(["env", "GOVERSION", "GOOS", "GOARCH"]).output();
        let problem = match asked {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8(output.stdout)?;
                let (version, platform) = text.split_once('\n').context("`go env` gave one line")?;
                return Ok(Self { version: version.to_owned(), platform: platform.replace('\n', " ") });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => "there is no `go` in PATH".to_owned(),
            Err(error) => error.to_string(),
        };
        let needed = fs::read_to_string(module.join("go.mod"))?;
        let needed = needed.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1.26").to_owned();
        bail!(
            "{problem}: the test cluster is built once by Go {needed} or newer (https://go.dev/dl/). \
             Without Go, set {ASSETS} to a folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, \
             kubectl, helm, registry (distribution) and oracle (tests/programs/oracle), and for nodes kubelet, kube-proxy, \
             containerd, containerd-shim-runc-v2, ctr, runc, the CNI plugins bridge, loopback and host-local, and app \
             (tests/programs/app)"
        )
    }
}

/// Where what was built is kept.
fn cache() -> anyhow::Result<PathBuf> {
    let home = || Some(Path::new(&env::var_os("HOME")?).join(".cache"));
    let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home);
    let caches = caches.context("neither XDG_CACHE_HOME nor HOME is set: there is no place for the built programs")?;
    Ok(caches.join("berth").join("programs"))
}

/// Waits until nobody else builds in `folder`; others wait until the file is dropped.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = File::create(folder.join("lock"))?;
    let waiting = Progress::start(format!("waiting for another process that builds in {}", folder.display()));
    waiting.wait(|| file.try_lock().is_ok());
    Ok(file)
}

/// Names a folder with the programs, as the ecosystem's other test clusters have it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
/// Characters of the hash in the name of a cache folder.
const KEY_LENGTH: usize = 16;

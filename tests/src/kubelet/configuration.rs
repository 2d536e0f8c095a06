//! The configuration files of a node.

use std::{fs, net::Ipv4Addr};

use serde_json::json;

use super::programs::Programs;
use crate::{cluster::Cluster, image::ARCHITECTURE, machine::Switch, processes::Folder};

/// What one node differs in from others.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// The network (/24) of its Pods.
    pods: Ipv4Addr,
    all_pods: String,
    name_server: Ipv4Addr,
}

impl Settings {
    /// Of node `index`, from 1.
    pub(super) fn new(name: &str, index: u8, switch: &Switch) -> Self {
        Self {
            name: name.to_owned(),
            address: switch.machine(index),
            pods: switch.pods(index),
            all_pods: switch.all_pods(),
            name_server: switch.address(),
        }
    }

    /// Its `/etc/resolv.conf`.
    pub(super) fn resolver(&self) -> String {
        format!("nameserver {}\noptions timeout:5 attempts:2\n", self.name_server)
    }

    /// Writes them; YAML is a superset of JSON.
    pub(super) fn write(
        &self,
        folder: &Folder,
        cluster: &Cluster,
        programs: &Programs,
        cgroups: &str,
    ) -> anyhow::Result<()> {
        let (authority, server) = (cluster.authority(), cluster.server());
        fs::create_dir(folder.path().join(NETWORKS))?;
        folder.write(&format!("{NETWORKS}/10-bridge.conflist"), self.network().to_string())?;
        folder.write(CONTAINERD, containerd(folder, programs))?;
        folder.write("ca.crt", authority.certificate())?;
        let user = format!("system:node:{}", self.name);
        folder.write(KUBECONFIG, authority.kubeconfig(server, &user, Some("system:nodes"))?)?;
        folder.write(KUBELET, self.kubelet(folder, cgroups).to_string())?;
        folder.write("proxy.kubeconfig", authority.kubeconfig(server, "system:kube-proxy", None)?)?;
        folder.write(PROXY, self.proxy(folder).to_string())?;
        Ok(())
    }

    /// CNI's: Pods see each other, and nothing is masqueraded.
    fn network(&self) -> serde_json::Value {
        json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": format!("{}/24", self.pods) }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }] })
    }

    fn kubelet(&self, folder: &Folder, cgroups: &str) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroups,
            "enforceNodeAllocatable": ["none"],
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": false },
                "x509": { "clientCAFile": folder.path().join("ca.crt") },
            },
            "authorization": { "mode": "AlwaysAllow" },
            "address": self.address,
            "healthzBindAddress": self.address,
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "resolvConf": "/etc/resolv.conf",
            "failSwapOn": false,
            "makeIPTablesUtilChains": false,
            // Nothing is collected behind a test's back, however full the disk is.
            "imageGCHighThresholdPercent": 100,
            "imageMinimumGCAge": "24h",
            "evictionHard": { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
            // How soon a change of the status is seen; the list of images is read every 30 s, whatever one says.
            "nodeStatusUpdateFrequency": "1s",
            "containerLogMaxSize": "1Mi",
            "containerLogMaxFiles": 2,
        })
    }

    fn proxy(&self, folder: &Folder) -> serde_json::Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": { "kubeconfig": folder.path().join("proxy.kubeconfig") },
            "hostnameOverride": self.name,
            "clusterCIDR": self.all_pods,
            "iptables": { "minSyncPeriod": "0s" },
            // The kernel's limits are not a node's to set.
            "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        })
    }
}

/// Writes where images of `host` are pulled from. containerd reads it at every pull.
pub(super) fn write_registry(folder: &Folder, host: &str, endpoint: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder.path().join(REGISTRIES).join(host))?;
    let hosts = format!("server = \"{endpoint}\"\n[host.\"{endpoint}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    folder.write(&format!("{REGISTRIES}/{host}/hosts.toml"), hosts)?;
    Ok(())
}

/// # Source
/// `docs/cri/config.md` of containerd 2.
fn containerd(folder: &Folder, programs: &Programs) -> String {
    let (folder, plugins, runc) = (folder.path().display(), programs.plugins().display(), programs.runc.display());
    format!(
        r#"version = 3
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/{ARCHITECTURE}"
  snapshotter = "{SNAPSHOTTER}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{SNAPSHOTTER}"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{folder}/{REGISTRIES}"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.cri.v1.runtime"]
  # Root does not always have CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{folder}/{NETWORKS}"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
        SystemdCgroup = false
"#
    )
}

/// Names of the files below a node's folder.
pub(super) const CONTAINERD: &str = "containerd.toml";
pub(super) const KUBELET: &str = "kubelet.json";
pub(super) const KUBECONFIG: &str = "kubelet.kubeconfig";
pub(super) const PROXY: &str = "proxy.json";
const NETWORKS: &str = "networks";
const REGISTRIES: &str = "registries";
/// The image of the first process of every Pod.
pub(crate) const PAUSE: &str = "registry.k8s.io/pause:3.10";
/// Copies files: it works on every file system, also inside a container.
pub(super) const SNAPSHOTTER: &str = "native";

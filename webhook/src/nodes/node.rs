//! A Node, as slim as the rules allow.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    ClusterResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A Node: what the API server or `kubectl get node -o json` says, without the nine tenths that no rule needs.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Node {
    /// Name, uid, resource version, labels, time of deletion: the rest is not read.
    #[serde(default, deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// What was asked of the node.
    #[serde(default, deserialize_with = "nullable")]
    pub spec: Spec,
    /// What its kubelet says.
    #[serde(default, deserialize_with = "nullable")]
    pub status: Status,
}

/// What was asked of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Repel Pods that do not tolerate them.
    #[serde(default, deserialize_with = "nullable")]
    pub taints: Vec<Taint>,
    /// Cordoned.
    #[serde(default, deserialize_with = "nullable")]
    pub unschedulable: bool,
    /// `kind://docker/kind/kind-worker`, `k3s://one`, `aws:///eu-west-1a/i-0123`.
    #[serde(default, rename = "providerID")]
    pub provider_id: Option<String>,
}

/// A taint.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Taint {
    /// Its name.
    #[serde(default)]
    pub key: String,
    /// May be empty.
    #[serde(default, deserialize_with = "nullable")]
    pub value: String,
    /// What it does.
    #[serde(default)]
    pub effect: Effect,
}

/// What a taint does to Pods that do not tolerate it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum Effect {
    /// They are not scheduled here.
    NoSchedule,
    /// They are scheduled elsewhere where possible.
    PreferNoSchedule,
    /// They are not scheduled here, and evicted.
    NoExecute,
    /// An effect that this version of Berth does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// What a kubelet says of its node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The images it holds, largest first: cut at `nodeStatusMaxImages`.
    #[serde(default, deserialize_with = "nullable")]
    pub images: Vec<Image>,
    /// `Ready` among others.
    #[serde(default, deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
    /// Architecture and versions.
    #[serde(default, deserialize_with = "nullable")]
    pub node_info: NodeInfo,
    /// What Pods can have: `cpu: 3920m`.
    #[serde(default, deserialize_with = "nullable")]
    pub allocatable: BTreeMap<String, String>,
}

/// One entry of a node's list: one image ID.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
pub struct Image {
    /// At most five names, those with a digest first; `null` for an image without any.
    #[serde(default, deserialize_with = "nullable")]
    pub names: Vec<String>,
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Condition {
    /// `Ready`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    #[serde(default)]
    pub status: String,
}

/// What a node runs on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `containerd://2.1.4`.
    #[serde(default)]
    pub container_runtime_version: String,
    /// `v1.36.3`, `v1.33.7+k3s1`.
    #[serde(default)]
    pub kubelet_version: String,
}

impl Node {
    /// The node's name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Enough for `kube::runtime::watcher` to list and watch this type.
impl Resource for Node {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Reads the few fields of the metadata: `managedFields` alone are often half of a Node.
fn slim<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let Metadata { name, uid, resource_version, labels, deletion_timestamp } = nullable(from)?;
    Ok(ObjectMeta { name, uid, resource_version, labels, deletion_timestamp, ..ObjectMeta::default() })
}

/// The fields of the metadata that are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<Time>,
}

/// `null` is the default: Go writes it for what is empty.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

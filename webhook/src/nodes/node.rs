//! A Node, as slim as the rules allow.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    ClusterResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::Resource;
use serde::{Deserialize, Deserializer};

use super::{bounded::list, loaded::LOADED};

/// A Node: what the API server or `kubectl get node -o json` says, without the nine tenths that no rule needs.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Node {
    /// Name, uid, resource version, labels, time of deletion, one annotation: the rest is not read.
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
    #[serde(default, deserialize_with = "list::<_, _, TAINTS>")]
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
    /// The images it holds, largest first: cut at `nodeStatusMaxImages`, and here at [`ENTRIES`].
    #[serde(default, deserialize_with = "list::<_, _, ENTRIES>")]
    pub images: Vec<Image>,
    /// `Ready` among others.
    #[serde(default, deserialize_with = "list::<_, _, CONDITIONS>")]
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
    #[serde(default, deserialize_with = "list::<_, _, NAMES>")]
    pub names: Vec<String>,
    /// Bytes.
    #[serde(default, rename = "sizeBytes", deserialize_with = "nullable")]
    pub size: i64,
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

    /// The annotation `berth.dev/loaded`, as it is written.
    pub fn loaded(&self) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(LOADED).map(String::as_str)
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
    let Metadata { name, uid, resource_version, labels, annotations, deletion_timestamp } = nullable(from)?;
    let loaded = annotations.and_then(|annotations| annotations.loaded);
    let annotations = loaded.map(|loaded| BTreeMap::from([(LOADED.to_owned(), loaded)]));
    Ok(ObjectMeta { name, uid, resource_version, labels, annotations, deletion_timestamp, ..ObjectMeta::default() })
}

/// The fields of the metadata that are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
    deletion_timestamp: Option<Time>,
}

/// The one annotation that is read.
#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(default, rename = "berth.dev/loaded")]
    loaded: Option<String>,
}

/// `null` is the default: Go writes it for what is empty.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Entries of a node's list that are read; a list of this length or more counts as cut.
pub const ENTRIES: usize = 2_048;
/// Names of an entry at which the kubelet cuts; more are not read. Source: `MaxNamesPerImageInNodeStatus`.
pub const NAMES: usize = 5;
/// Taints that are read. A node has a handful.
const TAINTS: usize = 64;
/// Conditions that are read. A node has a dozen where problem detectors run.
const CONDITIONS: usize = 256;

//! **decode** — the bytes of a review, borrowed and slim: only the fields that the rules need.
//!
//! What a rule needs seldom stays raw text until it does.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The request inside an `AdmissionReview`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Repeated in the answer.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// The resource that the request was made for.
    #[serde(borrow)]
    pub resource: Resource<'a>,
    /// `ephemeralcontainers`, or empty.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'a, str>,
    /// `CREATE`, `UPDATE`.
    #[serde(borrow, default)]
    pub operation: Cow<'a, str>,
    /// The Pod's namespace: older API servers leave it out of the object.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// The Pod as it will be stored.
    #[serde(borrow)]
    pub object: Pod<'a>,
    /// The Pod as it is stored, for an UPDATE.
    #[serde(borrow, default)]
    pub old_object: Option<OldPod<'a>>,
    /// Nothing will be stored.
    #[serde(default, deserialize_with = "nullable")]
    pub dry_run: bool,
}

/// A group, version and resource.
#[derive(Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Resource<'a> {
    /// Empty for the core group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// `v1`.
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
    /// `pods`.
    #[serde(borrow, default)]
    pub resource: Cow<'a, str>,
}

/// A Pod, or a Pod template.
#[derive(Debug, Default, Deserialize)]
pub struct Pod<'a> {
    /// Names, labels, annotations, owners.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// What runs.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub spec: Spec<'a>,
}

/// The metadata that the rules need.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Empty where the API server makes the name from `generateName`.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Present where the name is generated.
    #[serde(borrow, default)]
    pub generate_name: Cow<'a, str>,
    /// Raw until needed: `{"key": "value"}`.
    #[serde(borrow, default)]
    pub labels: Option<&'a RawValue>,
    /// Raw until needed: `{"key": "value"}`.
    #[serde(borrow, default)]
    pub annotations: Option<&'a RawValue>,
    /// Who made the Pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub owner_references: Vec<Owner<'a>>,
}

/// An owner reference.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner<'a> {
    /// `apps/v1`.
    #[serde(borrow, default)]
    pub api_version: Cow<'a, str>,
    /// `DaemonSet`.
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
    /// The owner's name.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
}

/// The parts of a Pod's spec that the rules need.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Containers.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub containers: Vec<Container<'a>>,
    /// Init containers, sidecars included.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub init_containers: Vec<Container<'a>>,
    /// Containers added to a running Pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub ephemeral_containers: Vec<Container<'a>>,
    /// Volumes; those with an image are of interest.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub volumes: Vec<Volume<'a>>,
    /// Set where the Pod is bound already.
    #[serde(borrow, default)]
    pub node_name: Cow<'a, str>,
    /// Raw until a Pod is placed.
    #[serde(borrow, default)]
    pub node_selector: Option<&'a RawValue>,
    /// Raw until a Pod is placed.
    #[serde(borrow, default)]
    pub affinity: Option<&'a RawValue>,
    /// Raw until a Pod is placed.
    #[serde(borrow, default)]
    pub tolerations: Option<&'a RawValue>,
    /// Raw until a Pod is placed.
    #[serde(borrow, default)]
    pub scheduling_gates: Option<&'a RawValue>,
}

/// A container of any kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Unique in the Pod.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// The image, as written; may be empty.
    #[serde(borrow, default)]
    pub image: Cow<'a, str>,
    /// Empty where nobody wrote one and the API server has not filled it in.
    #[serde(borrow, default)]
    pub image_pull_policy: Cow<'a, str>,
    /// Raw until a Pod is placed.
    #[serde(borrow, default)]
    pub resources: Option<&'a RawValue>,
}

/// A volume.
#[derive(Debug, Deserialize)]
pub struct Volume<'a> {
    /// Unique in the Pod.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// An image mounted as a volume.
    #[serde(borrow, default)]
    pub image: Option<VolumeImage<'a>>,
}

/// The image of a volume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeImage<'a> {
    /// The image, as written.
    #[serde(borrow, default)]
    pub reference: Cow<'a, str>,
    /// Empty where nobody wrote one.
    #[serde(borrow, default)]
    pub pull_policy: Cow<'a, str>,
}

/// What is needed of the Pod before an update: which ephemeral containers it has.
#[derive(Debug, Default, Deserialize)]
pub struct OldPod<'a> {
    /// The spec before.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub spec: OldSpec<'a>,
}

/// The spec before an update.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldSpec<'a> {
    /// The ephemeral containers that may not change any more.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub ephemeral_containers: Vec<Container<'a>>,
}

/// `null` is the default: Go writes it for what is empty.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

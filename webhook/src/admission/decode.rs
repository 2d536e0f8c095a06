//! **decode** — the bytes of a review, borrowed and slim: only the fields that the rules need.
//!
//! What a rule needs seldom stays raw text until it does.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads the body of a request about a Pod.
///
/// # Errors
/// [`Error`] where no answer could be given that an API server accepts: it is answered with 400.
pub fn decode(body: &[u8]) -> Result<Review<'_>, Error> {
    read(body)
}

/// Reads the body of a request about an `O`, of which `P` is needed as it was before; errors as of [`decode`].
pub(super) fn read<'a, O, P>(body: &'a [u8]) -> Result<Review<'a, O, P>, Error>
where
    O: Deserialize<'a> + Default,
    P: Deserialize<'a>,
{
    // Once for all strings, which costs less than once for each.
    let body = str::from_utf8(body).map_err(|error| Error::NoReview { source: serde::de::Error::custom(error) })?;
    match serde_json::from_str::<Envelope<'_, Request<'_, O, P>>>(body) {
        Ok(envelope) => envelope.checked(|request| &request.uid).map(Review::Readable),
        // Perhaps only the object is not what it should look like: then there is somebody to answer.
        Err(unreadable) => match serde_json::from_str::<Envelope<'_, Asker<'_>>>(body) {
            Ok(envelope) => envelope
                .checked(|asker| &asker.uid)
                .map(|asker| Review::Opaque { uid: asker.uid, reason: unreadable.to_string() }),
            Err(source) => Err(Error::NoReview { source }),
        },
    }
}

/// The uid of the request in `body`, whatever else is wrong with it.
pub fn uid(body: &[u8]) -> Option<Cow<'_, str>> {
    let envelope: Envelope<'_, Asker<'_>> = serde_json::from_slice(body).ok()?;
    Some(envelope.checked(|asker| &asker.uid).ok()?.uid)
}

/// A review that can be answered.
#[derive(Debug)]
pub enum Review<'a, O = Pod<'a>, P = OldPod<'a>> {
    /// A request about a Pod, or what else was expected.
    Readable(Box<Request<'a, O, P>>),
    /// A request whose object cannot be read as that.
    Opaque {
        /// To be repeated in the answer.
        uid: Cow<'a, str>,
        /// What was wrong with the object.
        reason: String,
    },
}

/// Why a body cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No JSON, or not the shape of a review.
    #[error("the body is not an AdmissionReview")]
    NoReview {
        /// Where it stopped making sense.
        source: serde_json::Error,
    },
    /// Another version or kind than `admission.k8s.io/v1` `AdmissionReview`.
    #[error("the body is a {api_version:?} {kind:?}, not an admission.k8s.io/v1 AdmissionReview")]
    Kind {
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
    },
    /// A review without request: an answer, perhaps.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// A request that no answer could name.
    #[error("the AdmissionReview's request has no uid")]
    NoUid,
}

/// The outer object of a review.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, R> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default = "none")]
    request: Option<Box<R>>,
}

/// As much of a request as an answer needs.
#[derive(Debug, Deserialize)]
struct Asker<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
}

impl<R> Envelope<'_, R> {
    fn checked(self, uid: impl Fn(&R) -> &str) -> Result<Box<R>, Error> {
        if self.api_version != "admission.k8s.io/v1" || self.kind != "AdmissionReview" {
            return Err(Error::Kind { api_version: self.api_version.into_owned(), kind: self.kind.into_owned() });
        }
        let request = self.request.ok_or(Error::NoRequest)?;
        if uid(&request).is_empty() { Err(Error::NoUid) } else { Ok(request) }
    }
}

fn none<R>() -> Option<R> {
    None
}

/// The request inside an `AdmissionReview`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de> + Default, P: Deserialize<'de>"))]
pub struct Request<'a, O = Pod<'a>, P = OldPod<'a>> {
    /// Repeated in the answer.
    #[serde(borrow, default)]
    pub uid: Cow<'a, str>,
    /// The resource that the request was made for.
    #[serde(borrow, default)]
    pub resource: Resource<'a>,
    /// `ephemeralcontainers`, `scale`, or empty.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'a, str>,
    /// `CREATE`, `UPDATE`.
    #[serde(borrow, default)]
    pub operation: Cow<'a, str>,
    /// The object's namespace: older API servers leave it out of Pods.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// The object as it will be stored.
    #[serde(default, deserialize_with = "nullable")]
    pub object: O,
    /// The object as it is stored, for an UPDATE.
    #[serde(default)]
    pub old_object: Option<P>,
}

/// A group and a resource.
#[derive(Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Resource<'a> {
    /// Empty for the core group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// `pods`, `deployments`.
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
    /// Raw until they are read, or one is added.
    #[serde(borrow, default)]
    pub image_pull_secrets: Option<&'a RawValue>,
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

/// What is needed of the Pod before an update: what its metadata says, and which ephemeral containers it has.
#[derive(Debug, Default, Deserialize)]
pub struct OldPod<'a> {
    /// The metadata before.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
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
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;

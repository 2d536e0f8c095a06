//! **place** — node affinity for the nodes that hold what cannot be pulled. (being written)

use super::{decode::Pod, note::Note, select::PullPolicy};
use crate::{config, image::Reference, nodes::Index, telemetry::outcome};

/// An image that decides where its Pod can run.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The container's or volume's name, for notes.
    pub about: String,
    /// The image.
    pub image: Reference,
    /// As it will be written into the Pod.
    pub policy: PullPolicy,
    /// The Pod could run nowhere else: required affinity, and `onMissing` where nobody has it.
    /// Otherwise a preference for the nodes that list it, and nothing where nobody does.
    pub required: bool,
}

/// What is known besides the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The section `place`.
    // (reference, so that the controller can use the same function)
    pub controller_alive: bool,
    /// The Pod is being created and may be gated (never in templates, ephemeral containers, or for the controller).
    pub may_gate: bool,
}

/// What placing does to a Pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Placement {
    /// One requirement on `kubernetes.io/hostname` to append to every term.
    pub required: Option<Requirement>,
    /// Hostname labels to prefer, by one preferred term.
    pub preferred: Vec<String>,
    /// Add the scheduling gate.
    pub gate: bool,
    /// Refuse the Pod, for this reason.
    pub deny: Option<String>,
    /// What people should know.
    pub notes: Vec<Note>,
}

impl Placement {
    /// What was done, for the metrics; none where there was nothing to do.
    pub fn outcome(&self) -> Option<outcome::Place> {
        match self {
            Self { deny: Some(_), .. } => Some(outcome::Place::Denied),
            Self { gate: true, .. } => Some(outcome::Place::Gated),
            Self { required: Some(_), .. } => Some(outcome::Place::Required),
            Self { preferred, .. } if !preferred.is_empty() => Some(outcome::Place::Preferred),
            Self { notes, .. } if !notes.is_empty() => Some(outcome::Place::Noted),
            Self { .. } => None,
        }
    }
}

/// `kubernetes.io/hostname In […]` or `NotIn […]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Requirement {
    /// One of these hostname labels.
    In(Vec<String>),
    /// None of these hostname labels.
    NotIn(Vec<String>),
}

/// Decides where `pod` can run, by what the nodes list. `index` is none without a cluster.
pub fn place(
    _pod: &Pod<'_>,
    _wanted: &[Wanted],
    _index: Option<&Index>,
    _config: &config::Place,
    _circumstances: Circumstances,
) -> Placement {
    Placement::default()
}

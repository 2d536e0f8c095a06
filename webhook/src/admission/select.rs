//! **select** — every field of a Pod that names an image. None is forgotten.

use crate::image::{ParseError, Reference};

/// One field that names an image.
#[derive(Debug)]
pub struct Slot<'a> {
    /// Where it stands.
    pub field: Field,
    /// The container's or the volume's name.
    pub name: &'a str,
    /// The image as written.
    pub image: &'a str,
    /// The image, parsed.
    pub reference: Result<Reference, ParseError>,
    /// When the kubelet pulls it: as written, else as the API server would fill it in.
    pub policy: PullPolicy,
}

/// Where an image stands in a Pod; the number is the place in its list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// `spec.initContainers`, sidecars included.
    InitContainer(usize),
    /// `spec.containers`.
    Container(usize),
    /// `spec.ephemeralContainers`.
    EphemeralContainer(usize),
    /// `spec.volumes[].image`.
    Volume(usize),
}

/// When the kubelet pulls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// Never: the node has it, or the container fails.
    Never,
}

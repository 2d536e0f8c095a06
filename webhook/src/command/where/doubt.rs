//! Why a node's list does not prove that an image is missing.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::nodes::{
    Node, Runtime,
    node::{ENTRIES, NAMES},
};

/// Why a node's list does not prove that an image is missing. The index knows *that* it does not.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Doubt {
    /// Nothing is listed.
    Empty,
    /// The list has as many entries as the kubelet writes.
    Cut(usize),
    /// An entry has as many names as the kubelet writes.
    Names,
    /// The runtime finds images by names that it does not list.
    Runtime,
}

impl Doubt {
    /// The first reason, if there is one.
    pub(super) fn of(node: &Node, runtime: Runtime, list_limit: usize) -> Option<Self> {
        let images = &node.status.images;
        let limit = list_limit.min(ENTRIES);
        if images.is_empty() {
            Some(Self::Empty)
        } else if images.len() >= limit {
            Some(Self::Cut(limit))
        } else if images.iter().any(|image| image.names.len() >= NAMES) {
            Some(Self::Names)
        } else {
            (!matches!(runtime, Runtime::Containerd | Runtime::Docker)).then_some(Self::Runtime)
        }
    }
}

impl Serialize for Doubt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What is the matter with a node.
impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("the list is empty"),
            Self::Cut(limit) => write!(formatter, "the list is cut at {limit} images"),
            Self::Names => write!(formatter, "an image in the list is cut at {NAMES} names"),
            Self::Runtime => formatter.write_str("the runtime also finds images by names that it does not list"),
        }
    }
}

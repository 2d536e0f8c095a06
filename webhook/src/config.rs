//! The configuration: a file, checked once; nothing past this module sees the file's text.
//!
//! The shape of the file is the shape of these structs. A key enters with the capability behind it.

mod load;
mod mirror;
mod pin;
mod place;
mod registries;

use std::path::PathBuf;

// pub use load::{ConfigError, load, parse};
pub use mirror::{Fallback, Mirror, Resolve, Rule};
pub use pin::{OnFailure, Pin};
pub use place::{OnMissing, Place, PullPolicyChange, Strategy};
pub use registries::Registry;

/// Everything an administrator can say, with the defaults of the profile filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which images are pinned, and what happens when that fails.
    pub pin: Pin,
    /// Which images come from where instead.
    pub mirror: Mirror,
    /// Which Pods go where their image already is.
    pub place: Place,
    /// Registries that need more to be said than their name.
    pub registries: Vec<Registry>,
    /// Docker configuration files with credentials, asked in this order.
    pub credentials: Vec<PathBuf>,
    /// Kinds of owner whose operators compare images: their Pods are placed only.
    pub skip_owners: Vec<OwnerKind>,
    /// What a tenant may switch off by the annotation `berth.dev/skip`.
    pub tenants: Tenants,
    /// Bounds on time and memory.
    pub limits: Limits,
}
// (see load.rs for Default = the production profile)

/// `group/Kind`, as in `postgresql.cnpg.io/Cluster`; without a slash a kind of the core group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnerKind {
    /// The API group, without version.
    pub group: String,
    /// The kind.
    pub kind: String,
}

/// What tenants are allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tenants {
    /// Steps that the annotation `berth.dev/skip` may switch off.
    pub may_skip: Steps,
}

/// A set of the three verbs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Steps {
    /// Replacing tags by digests.
    pub pin: bool,
    /// Rewriting to a mirror.
    pub mirror: bool,
    /// Adding node affinity.
    pub place: bool,
}

/// Bounds on time and memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Wall-clock time of one question to a registry, tokens included.
    pub registry_timeout: std::time::Duration,
    /// Reviews that are worked on at the same time; more are shed with a 503.
    pub reviews_in_flight: usize,
    /// Largest body of one request, bytes.
    pub body_bytes: usize,
    /// All bodies held at the same time, bytes.
    pub bodies_bytes: usize,
}

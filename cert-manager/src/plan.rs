//! What is to be done next: a pure rule, from what was read to one action.
//!
//! The order in which `rotation` looks is the order of a rotation, and each action leads to a state in which the next
//! one follows: so it does not matter who does it, nor how often somebody is stopped in between.

mod finding;
mod hold;
mod inherit;
mod inject;
mod publish;
mod rotation;
mod status;

pub use finding::{Finding, findings};
pub use status::{Status, status};

use std::time::SystemTime;

use crate::{
    Bundle,
    settings::{ConfigurationName, Settings, Source},
    state::State,
    store::Webhook,
};

/// The one thing that is to be done about `state` at `now`.
pub fn next_action(now: SystemTime, state: &State, settings: &Settings) -> Action {
    match settings.source {
        Source::Manager => rotation::next(now, state, settings),
        Source::Secret | Source::Authorities(_) => inject::next(now, state, settings),
        Source::Nobody => Action::Wait { until: None },
    }
}

/// A step. Each but the first is one write, or one for each configuration.
#[derive(Clone, Debug)]
pub enum Action {
    /// Nothing.
    Wait {
        /// When time alone will have made a difference; none where only a change of an object can.
        until: Option<SystemTime>,
    },
    /// Make a CA that signs, because none can.
    IssueAuthority(Inheritance),
    /// Give the CA's Secret a generation above every other, because it is an old one that was put back, or not the one that
    /// certificates came from so far.
    Renumber(Inheritance),
    /// Make the CA that is coming: the first step of a rotation.
    StartRotation {
        /// The generation of the bundle with both.
        generation: u64,
    },
    /// Put a new leaf into the serving Secret.
    IssueLeaf {
        /// Who signs it.
        signer: Signer,
        /// Why.
        cause: Cause,
    },
    /// Put the bundle of this generation beside the leaf, which stays.
    RefreshBundle,
    /// Put the bundle into configurations.
    Publish(Vec<Publication>),
    /// Note that every configuration has the bundle: the hold begins, or begins anew where one had lost it.
    StartHold {
        /// The moment from which it counts.
        published: SystemTime,
    },
    /// Let the CA that was coming sign, and retire the one that did.
    Promote {
        /// When the last leaf of the retired one has expired.
        retired_until: SystemTime,
    },
    /// Trust retired CAs no longer.
    RemoveRetired {
        /// The generation of the bundle without them.
        generation: u64,
        /// Those that stay.
        kept: Bundle,
    },
}

/// What remains of CAs that can sign no more.
#[derive(Clone, Debug)]
pub struct Inheritance {
    /// The generation of the bundle that holds them.
    pub generation: u64,
    /// Their certificates.
    pub retired: Bundle,
    /// When the last leaf of them has expired.
    pub until: SystemTime,
}

/// Who signs a leaf, or has signed it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signer {
    /// The CA that signs.
    Signing,
    /// The CA that is coming.
    Coming,
    /// One whose key is gone.
    Retired,
}

/// Why a leaf is issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// There was none that API servers would accept.
    NoneUsable,
    /// Two thirds of its life are over.
    Renewal,
    /// Its CA is retired.
    Rotation,
}

/// What is to be put into a configuration.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Which one.
    pub name: ConfigurationName,
    /// Its uid.
    pub uid: String,
    /// The version that was seen.
    pub version: String,
    /// The webhooks whose bundle changes, in the configuration's order.
    pub bundles: Vec<Webhook>,
    /// Annotations: set, or removed where there is none.
    pub annotations: Vec<(&'static str, Option<String>)>,
    /// Whether somebody had removed what was published there; if so, who wrote last, if that is known.
    pub restored: Option<Option<String>>,
}

#[cfg(test)]
mod tests;

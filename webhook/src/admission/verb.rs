//! Which verb applies to one image. What people write beats what Berth infers.
//!
//! The rule is [`verb`]: it is asked once before the registry and, where it says [`Verb::Ask`], again with the
//! registry's word.

use std::time::Instant;

use super::{
    mirror::Detour,
    select::{PullPolicy, Slot},
};
use crate::{
    config::{Config, Place, PullPolicyChange, Repin, Steps},
    image::Reference,
    nodes::{Evidence, Index},
    registry::Word,
};

/// What the rule looks at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// When the kubelet pulls.
    pub policy: PullPolicy,
    /// A placeholder under `pin.ignore`.
    pub ignored: bool,
    /// A name under `place.local`, or a host that by convention is never asked.
    pub local: bool,
    /// A mirror rule is about it.
    pub mirrored: bool,
    /// A `registries` entry is about its host.
    pub registered: bool,
    /// It has a digest already.
    pub digest: bool,
    /// Its tag matches `pin.tags`.
    pub mutable: bool,
    /// What happens to its digest where its tag means another one.
    pub repin: Repin,
    /// What the nodes' lists say about its origin.
    pub evidence: Evidence,
    /// The steps that nobody has switched off.
    pub steps: Steps,
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// The registry is asked, then the rule again.
    Ask,
    /// It stays, byte for byte.
    Leave,
    /// The digest is written, and the mirror that has it.
    Pin,
    /// Its own digest is compared with the registry's.
    Compare,
    /// It should have been pinned or mirrored, and no registry gave a digest.
    Unpinned {
        /// Nodes hold an import of this name: they are preferred, where the Pod is admitted.
        prefer: bool,
    },
    /// Its Pod goes to nodes that hold it, and could run nowhere else.
    Place {
        /// `Always` becomes `IfNotPresent`: the kubelet would ask for what no registry has.
        relax: bool,
    },
    /// It stays, and nodes that list it are preferred.
    Prefer,
    /// It stays, and its kubelet will ask for what no registry has.
    WillFail,
}

/// The rule, numbered as the section "Which verb applies" in ARCHITECTURE.md.
///
/// `word` is what the registry said, none before it was asked.
pub fn verb(facts: &Facts, word: Option<Word>, config: &Place) -> Verb {
    if facts.ignored {
        return Verb::Leave;
    }
    // 1. `Never`, or a name that no registry has: nothing is asked, pinned or mirrored.
    if facts.policy == PullPolicy::Never || facts.local {
        return if facts.steps.place { unpullable(facts.policy, config) } else { Verb::Leave };
    }
    // A digest says what is meant: whatever else is asked can only improve on it.
    if facts.digest {
        return digested(facts, word);
    }
    let pinnable = facts.pinnable();
    // 2. An explicit mirror rule or registry: as configured, whatever nodes list.
    let mirrored = facts.mirrored && facts.steps.mirror;
    if mirrored || facts.registered {
        return if mirrored || pinnable { pinned(word, false) } else { Verb::Leave };
    }
    // 3. Node-local by evidence. That is a node's claim, so the registry is asked.
    if facts.claimed() {
        return match word {
            None => Verb::Ask,
            Some(Word::Missing) => unpullable(facts.policy, config),
            Some(Word::Has) if config.infer_local => Verb::Prefer,
            Some(Word::Has) if !pinnable => Verb::Leave,
            Some(Word::Silent) if !pinnable => Verb::Prefer,
            Some(Word::Has | Word::Silent) => pinned(word, true),
        };
    }
    // 4. Otherwise: pinned when the tag is mutable.
    if pinnable { pinned(word, false) } else { Verb::Leave }
}

/// Asked for where a mirror may have it, or where its tag may mean another build by now.
fn digested(facts: &Facts, word: Option<Word>) -> Verb {
    match word {
        None if facts.repin != Repin::Off || (facts.mirrored && facts.steps.mirror) => Verb::Ask,
        Some(Word::Has) if facts.repin != Repin::Off => Verb::Compare,
        None | Some(Word::Has | Word::Missing | Word::Silent) => Verb::Leave,
    }
}

/// Written with the registry's digest, once it has given one.
fn pinned(word: Option<Word>, prefer: bool) -> Verb {
    match word {
        None => Verb::Ask,
        Some(Word::Has) => Verb::Pin,
        Some(Word::Missing | Word::Silent) => Verb::Unpinned { prefer },
    }
}

/// No registry has it: `Always` makes the kubelet fail for certain, anything else needs a node that holds it.
fn unpullable(policy: PullPolicy, config: &Place) -> Verb {
    match (policy, config.pull_policy) {
        (PullPolicy::Always, PullPolicyChange::Keep) => Verb::WillFail,
        (PullPolicy::Always, PullPolicyChange::IfNotPresent) => Verb::Place { relax: true },
        (PullPolicy::IfNotPresent | PullPolicy::Never, _) => Verb::Place { relax: false },
    }
}

impl Facts {
    /// Gathers what the rule looks at.
    pub fn of(
        slot: &Slot<'_>,
        image: &Reference,
        detour: &Detour<'_>,
        config: &Config,
        index: Option<&Index>,
        now: Instant,
        steps: Steps,
    ) -> Self {
        Self {
            policy: slot.policy,
            ignored: config.pin.ignores(image),
            local: NEVER_ASKED.contains(&image.host()) || config.place.is_local(image),
            mirrored: detour.asks_mirror(),
            registered: config.registry(image.host()).is_some(),
            digest: image.digest().is_some(),
            mutable: config.pin.covers(image),
            repin: if steps.pin { config.repin(image) } else { Repin::Off },
            evidence: index.map_or(Evidence::Unlisted, |index| index.evidence(image, now)),
            steps,
        }
    }

    /// It has a mutable tag, and nobody has switched pin off.
    pub fn pinnable(&self) -> bool {
        self.mutable && self.steps.pin && !self.digest
    }

    /// Node-local by evidence, and nothing that people wrote says otherwise.
    pub fn claimed(&self) -> bool {
        let written = self.ignored || self.local || self.registered || (self.mirrored && self.steps.mirror);
        self.evidence == Evidence::Local && self.steps.place && !self.digest && !written
    }
}

/// Hosts that by the convention of ko and kind stand for images that no registry has.
/// Source: ko, "Local registries" (`ko.local`, `kind.local`); Knative serving's `registries-skipping-tag-resolving`.
const NEVER_ASKED: [&str; 3] = ["kind.local", "ko.local", "dev.local"];

#[cfg(test)]
mod tests;

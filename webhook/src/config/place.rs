//! `place:` — images that no registry has, and how sure Berth must be.

use std::time::Duration;

use super::{load::Profile, section::Section, selector::Selector, value};
use crate::image::{Pattern, Reference};

/// The section `place`.
#[derive(Clone, Debug)]
pub struct Place {
    /// Patterns of names that no registry has: `petstore`, `localhost/*`, `*:tilt-*`.
    pub local: Vec<Pattern>,
    /// Leave an image alone that nodes hold by an import, also when a registry has one of that name.
    pub infer_local: bool,
    /// Which nodes are required.
    pub strategy: Strategy,
    /// What happens to a Pod whose image no node can hold.
    pub on_missing: OnMissing,
    /// Whether Pods go to the nodes where the image changed last.
    pub newest: Newest,
    /// What happens to `Always` on an image that no registry has.
    pub pull_policy: PullPolicyChange,
    /// Images that are baked into machine images.
    pub provided: Vec<Provided>,
    /// A node's list of this length or more is cut (the kubelet's `nodeStatusMaxImages`, 50 by default).
    pub list_limit: usize,
    /// Without news from the API for this long every node is unknown.
    pub max_stale: Duration,
    /// A Pod that cannot be scheduled where Berth placed it for this long, while its image is elsewhere, is stuck.
    pub stuck_after: Duration,
    /// What happens to a stuck Pod.
    pub stuck: Stuck,
}

impl Place {
    pub(super) fn read(mut section: Section<'_, '_>, profile: Profile) -> Self {
        let dev = profile == Profile::Dev;
        let strategies = [("prefer", Strategy::Prefer), ("strict", Strategy::Strict)];
        let outcomes = [("wait", OnMissing::Wait), ("deny", OnMissing::Deny), ("admit", OnMissing::Admit)];
        let changes = [("keep", PullPolicyChange::Keep), ("IfNotPresent", PullPolicyChange::IfNotPresent)];
        let newest = [("off", Newest::Off), ("prefer", Newest::Prefer), ("require", Newest::Require)];
        let change = if dev { PullPolicyChange::IfNotPresent } else { PullPolicyChange::Keep };
        let stale = value::duration_within(MAX_STALE_LEAST, MAX_STALE_MOST);
        let stuck = [("note", Stuck::Note), ("delete", Stuck::Delete)];
        let stuck_after = value::duration_within(STUCK_AFTER_LEAST, STUCK_AFTER_MOST);
        let place = Self {
            local: section.list("local", value::parsed).unwrap_or_default(),
            infer_local: section.value("inferLocal", value::boolean).unwrap_or(dev),
            strategy: section.value("strategy", value::choice(&strategies)).unwrap_or(Strategy::Prefer),
            on_missing: section.value("onMissing", value::choice(&outcomes)).unwrap_or(OnMissing::Wait),
            newest: section.value("newest", value::choice(&newest)).unwrap_or(if dev {
                Newest::Require
            } else {
                Newest::Off
            }),
            pull_policy: section.value("pullPolicy", value::choice(&changes)).unwrap_or(change),
            provided: section.sections("provided", Provided::read),
            list_limit: section.value("listLimit", value::count(1, LIST_LIMIT_MOST)).unwrap_or(LIST_LIMIT),
            max_stale: section.value("maxStale", stale).unwrap_or(MAX_STALE),
            stuck_after: section.value("stuckAfter", stuck_after).unwrap_or(STUCK_AFTER),
            stuck: section.value("stuck", value::choice(&stuck)).unwrap_or(Stuck::Note),
        };
        section.finish();
        place
    }

    /// Whether the administrator calls `image` local: a pattern matches the name as written (with or without its tag)
    /// or the full name, `docker.io/library/petstore`, likewise.
    pub fn is_local(&self, image: &Reference) -> bool {
        matches_any(&self.local, image)
    }

    /// The nodes that have `image` by what the administrator says, one selector or another.
    pub fn providers(&self, image: &Reference) -> impl Iterator<Item = &Selector> {
        let about = |provided: &&Provided| matches_any(&provided.images, image);
        self.provided.iter().filter(about).map(|provided| &provided.nodes)
    }
}

/// Whether one of `patterns` matches the name of `image` as written or in full, with or without its tag.
fn matches_any(patterns: &[Pattern], image: &Reference) -> bool {
    if patterns.is_empty() {
        return false;
    }
    let tag = image.effective_tag().unwrap_or_default();
    let repository = image.repository();
    let tagged = |name: &str| [name, ":", tag].concat();
    let names = [image.name().to_owned(), tagged(image.name()), tagged(&repository), repository];
    patterns.iter().any(|pattern| names.iter().any(|name| pattern.matches(name)))
}

/// Images that some nodes have because they are made with them, listed or not, existing or not.
#[derive(Clone, Debug)]
pub struct Provided {
    /// Patterns of their names, as for [`Place::local`].
    pub images: Vec<Pattern>,
    /// The nodes.
    pub nodes: Selector,
}

impl Provided {
    fn read(mut section: Section<'_, '_>) -> Option<Self> {
        if !section.has("images") {
            section.error("images", "it is missing; write `images: [registry.k8s.io/*]`");
        }
        let images = section.list("images", value::parsed);
        let nodes = Selector::read(&mut section, "nodes");
        section.finish();
        Some(Self { images: images?, nodes: nodes? })
    }
}

/// Which nodes are required.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strategy {
    /// Holders, told and unknown ones; holders and told ones are preferred.
    Prefer,
    /// Unknown ones only where there is no holder: for clusters whose lists are complete.
    Strict,
}

/// What happens to a Pod whose image no node can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnMissing {
    /// It waits behind the scheduling gate `berth.dev/image-on-node`.
    Wait,
    /// It is refused.
    Deny,
    /// It is admitted with a note.
    Admit,
}

/// Whether Pods go to the nodes where an image changed last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Newest {
    /// All builds of a tag are alike.
    Off,
    /// Those nodes are preferred.
    Prefer,
    /// Only those nodes are required, where it is certain which they are.
    Require,
}

/// What happens to `Always` on an image that no registry has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PullPolicyChange {
    /// It stays, with a note: the kubelet will fail.
    Keep,
    /// It becomes `IfNotPresent`, and the Pod is placed.
    IfNotPresent,
}

/// What happens to a Pod that is stuck where Berth placed it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stuck {
    /// An Event says so.
    Note,
    /// It is deleted as well, where its owner makes it again.
    Delete,
}

/// The kubelet's `nodeStatusMaxImages` where nobody set it.
const LIST_LIMIT: usize = 50;
/// For kubelets that list everything (`nodeStatusMaxImages: -1`).
const LIST_LIMIT_MOST: usize = 1_000_000;
const STUCK_AFTER: Duration = Duration::from_secs(2 * 60);
/// The scheduler takes a moment to see what has changed.
const STUCK_AFTER_LEAST: (Duration, &str) = (Duration::from_secs(5), "5s");
const STUCK_AFTER_MOST: (Duration, &str) = (Duration::from_secs(24 * 3600), "24h");
const MAX_STALE: Duration = Duration::from_secs(5 * 60);
/// In a quiet cluster a minute can pass between two pieces of news (the API server's bookmarks).
const MAX_STALE_LEAST: (Duration, &str) = (Duration::from_secs(2 * 60), "2m");
const MAX_STALE_MOST: (Duration, &str) = (Duration::from_secs(24 * 3600), "24h");

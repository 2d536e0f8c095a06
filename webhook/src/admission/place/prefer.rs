//! The preference: nodes that list an image, before those that only may have it.

use super::{
    HOSTNAME, Placement, Requirement,
    cut::{Budget, cut},
    inventory::{Inventory, Kind},
    newest::{Verdict, verdict},
    reach::{Candidate, Reach},
};
use crate::{
    admission::fits::Needs,
    config::{Newest, Selector},
};

/// Adds a preference among the nodes within `reach`: for the surest kind, and there for those that list most of `also`.
///
/// `confined`: the Pod can go nowhere else.
pub(super) fn add(placement: &mut Placement, confined: bool, reach: &Reach<'_>, also: &Inventory<'_>) {
    add_hostnames(placement, confined, reach, also);
    let doubtful = !reach.complete || reach.candidates.iter().any(|candidate| candidate.kind == Kind::Unknown);
    let excluded = placement.required.is_some() && placement.provided.is_empty();
    if !excluded && (doubtful || !placement.preferred.is_empty()) {
        let new = |set: &&Selector| !reach.needs.affinity().prefers_labels(set);
        placement.preferred_labels = reach.provided.iter().filter(new).cloned().collect();
    }
}

fn add_hostnames(placement: &mut Placement, confined: bool, reach: &Reach<'_>, also: &Inventory<'_>) {
    // Where the Pod is held to some of the nodes, the others must not keep these from being preferred.
    let held = match &placement.required {
        Some(Requirement::In(names)) => Some(names.as_slice()), // in order
        _ => None,
    };
    let within = |candidate: &&Candidate<'_>| {
        let hostname = candidate.node.hostname();
        held.is_none_or(|names| {
            hostname.is_some_and(|hostname| names.binary_search_by(|name| name.as_str().cmp(hostname)).is_ok())
        })
    };
    let listing = || reach.listing().filter(within).filter(|candidate| reach.is_new(candidate.node));
    let Some(best) = listing().map(|candidate| candidate.kind.preference()).min() else { return };
    let of_kind = listing().filter(|candidate| candidate.kind.preference() == best);
    let preferred = most_listing(of_kind.copied(), also);
    if confined && reach.complete && preferred.len() == reach.candidates.len() {
        return; // all the same
    }
    let names = cut(&preferred, Budget::preferred());
    let required = matches!(&placement.required, Some(Requirement::In(required)) if *required == names);
    if !required && !reach.needs.affinity().prefers(HOSTNAME, &names) {
        placement.preferred = names;
    }
}

/// Only a preference: for the nodes that list most of `wanted`.
pub(super) fn only(inventory: &Inventory<'_>, needs: &Needs<'_>, newest: Newest) -> Placement {
    let listing = inventory.listed().filter(|tally| !tally.contested);
    let usable = listing.filter_map(|tally| Candidate::of(inventory, needs, tally.node));
    let mut preferred = most_listing(usable, inventory);
    let newest = (newest != Newest::Off).then(|| verdict(inventory, &preferred));
    if let Some(Verdict::Some(marked)) = &newest {
        preferred = preferred.into_iter().zip(marked).filter_map(|(node, newest)| newest.then_some(node)).collect();
    }
    let differ = matches!(newest, Some(Verdict::Some(_)));
    let mut others = inventory.index.nodes().filter(|node| inventory.kind(*node) > Kind::Holder);
    let everywhere = others.by_ref().take(OTHERS_EXAMINED).all(|node| Candidate::of(inventory, needs, node).is_none());
    let names = cut(&preferred, Budget::preferred());
    if everywhere && !differ && others.next().is_none() || needs.affinity().prefers(HOSTNAME, &names) {
        return Placement::default();
    }
    Placement { preferred: names, ..Placement::default() }
}

/// Those of `candidates` that list the most images of `inventory`.
fn most_listing<'a>(candidates: impl Iterator<Item = Candidate<'a>>, inventory: &Inventory<'_>) -> Vec<Candidate<'a>> {
    let scored: Vec<_> = candidates.map(|candidate| (inventory.listed_by(candidate.node), candidate)).collect();
    let most = scored.iter().map(|(listed, _)| *listed).max();
    scored.into_iter().filter(|(listed, _)| Some(*listed) == most).map(|(_, candidate)| candidate).collect()
}

/// Nodes at which is looked for one that does not list the images.
const OTHERS_EXAMINED: usize = 256;

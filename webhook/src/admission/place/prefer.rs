//! The preference: nodes that list an image, before those that only may have it.

use super::{
    HOSTNAME, Placement, Requirement, Wanted,
    cut::{Budget, cut},
    inventory::{Inventory, Kind},
    reach::{Candidate, Reach},
};
use crate::admission::fits::Needs;

/// Adds a preference among the nodes within `reach`: for the surest kind, and there for those that list most of `optional`.
///
/// `confined`: the Pod can go nowhere else.
pub(super) fn add(placement: &mut Placement, confined: bool, reach: &Reach<'_>, optional: &[&Wanted]) {
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
    let listing = || reach.listing().filter(within);
    let Some(best) = listing().map(|candidate| candidate.kind.preference()).min() else { return };
    let also = Inventory::of(reach.inventory.index, optional, reach.inventory.now);
    let of_kind = listing().filter(|candidate| candidate.kind.preference() == best);
    let preferred = most_listing(of_kind.copied(), &also);
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
pub(super) fn only(inventory: &Inventory<'_>, needs: &Needs<'_>) -> Placement {
    let listing = inventory.listed().filter(|tally| !tally.contested);
    let usable = listing.filter_map(|tally| Candidate::of(inventory, needs, tally.node));
    let preferred = most_listing(usable, inventory);
    let mut others = inventory.index.nodes().filter(|node| inventory.kind(*node) > Kind::Holder);
    let everywhere = others.by_ref().take(OTHERS_EXAMINED).all(|node| Candidate::of(inventory, needs, node).is_none());
    let names = cut(&preferred, Budget::preferred());
    if everywhere && others.next().is_none() || needs.affinity().prefers(HOSTNAME, &names) {
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

//! The newest of several builds under one tag, where that can be told.
//!
//! Builds differ by digest, by image ID or by size; which one is newer says our own watch, or `berth load`. Where nothing
//! says it, nothing is done but to say so.

use std::collections::BTreeMap;

use super::{
    Wanted,
    inventory::Inventory,
    reach::{Candidate, Reach},
};
use crate::{
    admission::note::Note,
    config::Newest,
    nodes::{Likeness, Sighting},
};

/// Which of several nodes have the newest build of all that is needed.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// All of them, as far as is known.
    All,
    /// Those that are marked, in the order of the candidates.
    Some(Vec<bool>),
    /// It cannot be told.
    Unclear(Note),
}

/// Narrows `reach` to the nodes that have the newest builds, or only what is preferred among them, or notes that it
/// cannot be told which they are.
pub(super) fn narrow(reach: &mut Reach<'_>, newest: Newest) -> Option<Note> {
    if newest == Newest::Off {
        return None;
    }
    // A node without a hostname label cannot be preferred; where it is required, that is said.
    let can_count = |node: &&Candidate<'_>| newest == Newest::Require || node.node.hostname().is_some();
    let listing: Vec<Candidate<'_>> = reach.listing().filter(can_count).copied().collect();
    match verdict(reach.inventory, &listing) {
        Verdict::All => None,
        Verdict::Some(marked) => {
            let nodes = listing.iter().zip(marked).filter_map(|(node, marked)| marked.then_some(node.node.name()));
            reach.prefer_only(nodes.collect());
            if newest == Newest::Require {
                reach.hold_to_preferred();
            }
            None
        }
        Verdict::Unclear(note) => Some(note),
    }
}

/// Which of `candidates` have the newest build of all the images of `inventory`.
pub(super) fn verdict(inventory: &Inventory<'_>, candidates: &[Candidate<'_>]) -> Verdict {
    let mut marked = vec![true; candidates.len()];
    for wanted in inventory.rebuilt() {
        match of_image(inventory, wanted, candidates) {
            Verdict::All => (),
            Verdict::Some(newest) => marked.iter_mut().zip(newest).for_each(|(mark, newest)| *mark &= newest),
            unclear @ Verdict::Unclear(_) => return unclear,
        }
    }
    match (marked.contains(&true), marked.contains(&false)) {
        (_, false) => Verdict::All,
        (true, true) => Verdict::Some(marked),
        (false, true) => Verdict::Unclear(Note::info("no node has the newest builds of all its images")),
    }
}

/// The same for one image.
fn of_image(inventory: &Inventory<'_>, wanted: &Wanted, candidates: &[Candidate<'_>]) -> Verdict {
    let sightings = inventory.index.sightings(&wanted.image);
    let by_name: BTreeMap<&str, &Sighting<'_>> = sightings.iter().map(|seen| (seen.node.name(), seen)).collect();
    let known = candidates.iter().map(|candidate| by_name.get(candidate.node.name()).copied());
    let Some(known) = known.collect::<Option<Vec<_>>>() else { return Verdict::All };
    let Some(last) = known.iter().copied().max_by_key(|sighting| sighting.since()) else { return Verdict::All };
    let alike: Vec<Likeness> = known.iter().map(|sighting| last.compare(sighting, inventory.now)).collect();
    let is = |wanted: fn(Likeness) -> bool| known.iter().zip(&alike).filter(move |(_, likeness)| wanted(**likeness));
    let mut older = is(|likeness| likeness == Likeness::Different).map(|(sighting, _)| *sighting).peekable();
    if older.peek().is_some() {
        let newest = || is(|likeness| likeness != Likeness::Different).map(|(sighting, _)| *sighting);
        return if older.all(|older| newest().any(|newest| newest.is_after(older))) {
            Verdict::Some(alike.iter().map(|likeness| *likeness != Likeness::Different).collect())
        } else {
            unclear(wanted, "nothing says which build came last")
        };
    }
    let others = known.iter().zip(&alike).filter(|(sighting, _)| sighting.node.name() != last.node.name());
    let unproven: Vec<_> = others.filter(|(_, likeness)| **likeness == Likeness::Alike).collect();
    let foreign = |sighting: &Sighting<'_>| sighting.node.architecture() != last.node.architecture();
    if unproven.is_empty() {
        Verdict::All
    } else if unproven.iter().any(|(sighting, _)| foreign(sighting)) {
        unclear(wanted, "the nodes differ in architecture")
    } else {
        unclear(wanted, "all list one size and no digest")
    }
}

fn unclear(wanted: &Wanted, why: &str) -> Verdict {
    let text = format!("cannot tell which node has the newest {}: {why}; `berth load` tells", wanted.image);
    Verdict::Unclear(Note::info(text).about(&wanted.about))
}

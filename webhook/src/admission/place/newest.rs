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
    let listing: Vec<Candidate<'_>> = reach.listing().copied().collect();
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
    let now = inventory.now;
    let sightings = inventory.index.sightings(&wanted.image).into_iter();
    let by_name: BTreeMap<&str, Sighting<'_>> = sightings.map(|sighting| (sighting.node.name(), sighting)).collect();
    let known: Option<Vec<&Sighting<'_>>> =
        candidates.iter().map(|candidate| by_name.get(candidate.node.name())).collect();
    // Of the last that came, the surest: what is listed can be compared with more.
    let Some(known) = known else { return Verdict::All };
    let Some(last) = known.iter().max_by_key(|sighting| sighting.since()) else { return Verdict::All };
    let likeness: Vec<Likeness> = known.iter().map(|sighting| last.compare(sighting, now)).collect();
    let others = || known.iter().zip(&likeness).filter(|(_, likeness)| **likeness == Likeness::Different);
    let certain = |other: &Sighting<'_>| {
        let alike = known.iter().zip(&likeness).filter(|(_, likeness)| **likeness != Likeness::Different);
        alike.into_iter().any(|(newest, _)| newest.is_after(other))
    };
    if others().next().is_some() {
        return match others().all(|(other, _)| certain(other)) {
            true => Verdict::Some(likeness.iter().map(|likeness| *likeness != Likeness::Different).collect()),
            false => unclear(wanted, "nothing says which build came last"),
        };
    }
    let alone = known.len() == 1;
    let unproven = likeness
        .iter()
        .zip(&known)
        .any(|(likeness, one)| *likeness == Likeness::Alike && one.node.name() != last.node.name());
    if unproven && !alone { unclear(wanted, "all list one size and no digest") } else { Verdict::All }
}

fn unclear(wanted: &Wanted, why: &str) -> Verdict {
    let text = format!("cannot tell which node has the newest {}: {why}; `berth load` tells", wanted.image);
    Verdict::Unclear(Note::info(text).about(&wanted.about))
}

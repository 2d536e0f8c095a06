//! The requirement: the nodes that can have what the Pod needs, in as few bytes as say it.

use super::{
    HOSTNAME, Placement, Requirement, WAITS,
    cut::{Alternatives, Budget, cut, hostnames},
    inventory::Kind,
    load_hint::load_hint,
    names,
    reach::{Candidate, Reach},
};
use crate::{admission::note::Note, config::Newest};

/// Requires the nodes within `reach`, which are not nobody. Also tells whether the Pod is then held to them: where that
/// cannot be said, a Pod that `waits` goes on waiting, and another one is not placed.
pub(super) fn place(reach: &Reach<'_>, newest: Newest, alternatives: Alternatives, waits: bool) -> (Placement, bool) {
    let held = !reach.provided.is_empty() || reach.listing().any(|candidate| !candidate.lists_no_device());
    let mut placement = Placement { held, ..Placement::default() };
    if reach.is_settled() {
        // Of nodes to which it is held already nothing tells whether they have the newest.
        let told = reach.provided.is_empty() && newest != Newest::Require;
        placement.notes.extend(told.then(|| doubt(reach, None)).flatten());
        return (placement, true);
    }
    if !reach.provided.is_empty() {
        return by_labels(placement, reach, alternatives, waits);
    }
    let required = if reach.is_everywhere() { Ok((None, None)) } else { requirement(reach) };
    placement.notes.extend(doubt(reach, required.as_ref().ok().and_then(|(required, _)| required.as_ref())));
    match required {
        Ok((required, note)) => {
            placement.required = required;
            placement.notes.extend(note);
            (placement, true)
        }
        Err(Unsayable) => (unplaced(placement, reach, waits), false),
    }
}

/// `placement` without any requirement, although there are nodes out of reach.
fn unplaced(mut placement: Placement, reach: &Reach<'_>, waits: bool) -> Placement {
    placement.notes.push(unsayable(reach, waits));
    Placement { held: false, gate: waits, ..placement }
}

/// Requires the labels by which nodes provide what is needed, or one of the nodes that have it without them.
fn by_labels(
    mut placement: Placement,
    reach: &Reach<'_>,
    alternatives: Alternatives,
    waits: bool,
) -> (Placement, bool) {
    if !(reach.complete && reach.candidates.is_empty()) {
        match requirement(reach) {
            Ok((None, _)) => return (placement, true), // no node is out of reach
            Ok((required, note)) => {
                placement.required = required;
                placement.notes.extend(note);
            }
            Err(Unsayable) => (), // the labels are enough
        }
    }
    let budget = budget(reach);
    let sets = reach.provided.iter().filter(|set| budget.holds(set));
    placement.provided = sets.cloned().collect();
    let ways = usize::from(placement.required.is_some()) + placement.provided.len();
    if !alternatives.hold(ways) {
        let held = placement.required.is_some() && reach.candidates.iter().any(|node| node.kind.is_holder());
        if !held && !placement.provided.is_empty() {
            placement.required = None;
        }
        placement.provided.truncate(usize::from(placement.required.is_none()));
    }
    if placement.requires() {
        return (placement, true);
    }
    (unplaced(placement, reach, waits), false)
}

/// Room for what is repeated in each of the user's terms.
fn budget(reach: &Reach<'_>) -> Budget {
    Budget::per_term(reach.needs.affinity().required().map_or(1, <[_]>::len))
}

/// There is no requirement that says where the Pod can run.
struct Unsayable;

/// The requirement that says where the Pod can run, if one is needed, and a note on what it leaves out.
fn requirement(reach: &Reach<'_>) -> Result<(Option<Requirement>, Option<Note>), Unsayable> {
    let budget = budget(reach);
    let nodes = reach.candidates.iter().map(|candidate| candidate.node);
    if let Some(all) = hostnames(nodes, budget).filter(|_| reach.complete) {
        return Ok((Some(Requirement::In(all)), None));
    }
    if let Some(others) = reach.others_named(budget) {
        return Ok(((!others.is_empty()).then_some(Requirement::NotIn(others)), None));
    }
    let chosen = cut(&reach.candidates, budget);
    // Where none that lists the image is named, each that is left out may be the one where it is.
    if chosen.is_empty() || reach.listing().all(|candidate| candidate.node.hostname().is_none()) {
        return Err(Unsayable);
    }
    let note = left_out(reach, chosen.len());
    Ok((Some(Requirement::In(chosen)), Some(note)))
}

/// Why there is no requirement, and what comes of that.
fn unsayable(reach: &Reach<'_>, waits: bool) -> Note {
    let nameless = reach.listing().find(|candidate| candidate.node.hostname().is_none());
    let cause = match nameless {
        Some(candidate) => format!("node {} has no label {HOSTNAME}", candidate.node.name()),
        None if !reach.provided.is_empty() || reach.listing().next().is_some() => {
            "its own affinity has too many terms".to_owned()
        }
        None => "the nodes that may have it are too many to name".to_owned(),
    };
    let image = names(&reach.inventory.wanted);
    let text = if waits {
        format!("{WAITS} {cause}: it cannot be held to where {image} is")
    } else {
        format!("not placed, since {cause}: it may start where {image} is missing")
    };
    act(reach, text)
}

/// What to say when only `chosen` of the nodes within reach are named.
fn left_out(reach: &Reach<'_>, chosen: usize) -> Note {
    let all = reach.candidates.len();
    let image = names(&reach.inventory.wanted);
    let nameless = reach.candidates.iter().find(|candidate| candidate.node.hostname().is_none());
    if let Some(nameless) = nameless.filter(|_| all <= chosen + 1) {
        return act(reach, format!("node {} cannot be named: give it the label {HOSTNAME}", nameless.node.name()));
    }
    let least = if reach.complete { "" } else { "at least " };
    let text = format!("{least}{all} nodes may have {image}: held to {chosen} of them, from all zones");
    reach.inventory.about(Note::info(text))
}

/// What keeps the nodes within reach that `required` allows from being a sure choice.
///
/// It is the same when the Pod asks for `required` itself: in a second review this is not said again.
fn doubt(reach: &Reach<'_>, required: Option<&Requirement>) -> Option<Note> {
    let wanted = &reach.inventory.wanted;
    let (image, index) = (names(wanted), reach.inventory.index);
    let named = match required {
        Some(Requirement::In(names)) => Some(names.as_slice()), // in order
        Some(Requirement::NotIn(_)) | None => None,
    };
    let is_named = |candidate: &Candidate<'_>| {
        let hostname = candidate.node.hostname();
        named.is_none_or(|names| {
            hostname.is_some_and(|hostname| names.binary_search_by(|name| name.as_str().cmp(hostname)).is_ok())
        })
    };
    let candidates: Vec<_> = reach.candidates.iter().copied().filter(is_named).collect();
    if (reach.complete || named.is_some()) && candidates.iter().all(|candidate| candidate.obstacle.is_some()) {
        let nodes = described(&candidates);
        let newest = if reach.is_held_to_newest() { "the newest " } else { "" };
        let text =
            format!("only {nodes} can have {newest}{image}; elsewhere: {}", load_hint(index.nodes().next(), wanted));
        // A list without a device proves nothing: the Pod may well run there.
        let may_run = candidates.iter().any(Candidate::lists_no_device);
        return Some(if may_run { reach.inventory.about(Note::info(text)) } else { act(reach, text) });
    }
    match candidates.iter().find(|candidate| candidate.kind != Kind::Unknown) {
        Some(first) if first.kind.is_holder() => None,
        Some(first) => {
            let name = first.node.name();
            Some(act(reach, format!("{name} lists {image}, but may refuse it: its content was pulled by another name")))
        }
        None => {
            let text = format!("no node is known to have {image}, but {} may", counted(index.unknown_len()));
            Some(reach.inventory.about(Note::info(text)))
        }
    }
}

fn counted(nodes: usize) -> String {
    if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") }
}

/// "worker-1 (is cordoned), worker-2 (is not ready)", the first few.
fn described(candidates: &[Candidate<'_>]) -> String {
    let one = |candidate: &Candidate<'_>| match candidate.obstacle {
        Some(obstacle) => format!("{} ({obstacle})", candidate.node.name()),
        None => candidate.node.name().to_owned(),
    };
    let named = candidates.iter().take(NODES_NAMED).map(one).collect::<Vec<_>>().join(", ");
    match candidates.len().saturating_sub(NODES_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A note on which a person should act.
fn act(reach: &Reach<'_>, text: String) -> Note {
    reach.inventory.about(Note::attention(text))
}

/// Nodes that a note names.
const NODES_NAMED: usize = 2;

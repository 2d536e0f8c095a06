//! No node that the Pod can use can have what it needs: `place.onMissing`.

use super::{Circumstances, Placement, WAITS, inventory::Inventory, is_gated, load_hint::load_hint, names};
use crate::{
    admission::{
        decode::Pod,
        fits::{Fit, Needs},
        note::Note,
    },
    config::OnMissing,
};

/// Lets the Pod wait, refuses it, or says what it lacks. A Pod that is gated already goes on waiting.
pub(super) fn place(
    pod: &Pod<'_>,
    inventory: &Inventory<'_>,
    needs: &Needs<'_>,
    on_missing: OnMissing,
    circumstances: Circumstances,
) -> Placement {
    let waits = is_gated(pod);
    if waits && on_missing != OnMissing::Wait {
        return Placement::default();
    }
    let lack = lack(inventory, needs);
    let load = load_hint(inventory.index.nodes().next(), &inventory.wanted);
    let can_wait = waits || (circumstances.may_gate && circumstances.controller_alive);
    let text = match on_missing {
        OnMissing::Deny => {
            return Placement { deny: Some(format!("{lack}: load it first: {load}")), ..Placement::default() };
        }
        OnMissing::Wait if can_wait => format!("{WAITS} {lack}: {load}"),
        OnMissing::Wait if circumstances.may_gate => {
            format!("{lack}, nor can it wait without berth controller: {load}")
        }
        OnMissing::Wait | OnMissing::Admit => format!("{lack}: {load}"),
    };
    let note = inventory.about(Note::attention(text));
    Placement { gate: on_missing == OnMissing::Wait && can_wait, ..Placement::noted(note) }
}

/// "no node has petstore:dev", or which nodes have it, or a part of it, and why that does not help.
fn lack(inventory: &Inventory<'_>, needs: &Needs<'_>) -> String {
    let image = names(&inventory.wanted);
    let all = inventory.wanted.len();
    let unusable =
        inventory.listed().filter(|tally| tally.images.len() == all).find_map(|tally| match needs.fit(tally.node) {
            Fit::Never(obstacle) => Some(format!("{} {obstacle}", tally.node.name())),
            _ => None,
        });
    if let Some(reason) = unusable {
        return format!("no node that it can use has {image} ({reason})");
    }
    match (parts(inventory), all) {
        // Of those that it cannot use nothing tells.
        (parts, _) if parts.is_empty() && inventory.index.unknown_len() > 0 => {
            format!("no node that it can use has {image}")
        }
        (parts, _) if parts.is_empty() => format!("no node has {image}"),
        (parts, 2) => format!("no node has both {image} ({parts})"),
        (parts, _) => format!("no node has all of {image} ({parts})"),
    }
}

/// "a has app:dev, b has db:dev": a few nodes that have a part of what is needed, each with another part.
fn parts(inventory: &Inventory<'_>) -> String {
    let mut seen: Vec<&[usize]> = Vec::new();
    let mut parts = Vec::new();
    for tally in inventory.listed() {
        if parts.len() == PARTS {
            parts.push("…".to_owned());
            break;
        }
        if !seen.contains(&tally.images.as_slice()) {
            seen.push(&tally.images);
            let some: Vec<_> = tally.images.iter().filter_map(|place| inventory.wanted.get(*place).copied()).collect();
            parts.push(format!("{} has {}", tally.node.name(), names(&some)));
        }
    }
    parts.join(", ")
}

/// Nodes that are named with what they have.
const PARTS: usize = 3;

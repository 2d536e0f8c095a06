//! What people should know: one line each, on standard error.

use super::{decide::Decided, show::Format};
use crate::{
    admission::place::{Placement, Requirement},
    config::Selector,
    manifest::Rewritten,
};

/// The lines about everything that was decided, in order.
pub(super) fn lines(decided: &[Decided], format: Format, rewritten: &Rewritten) -> Vec<String> {
    decided.iter().flat_map(|one| about(one, format, rewritten)).collect()
}

fn about(decided: &Decided, format: Format, rewritten: &Rewritten) -> Vec<String> {
    let Decided { subject, verdict, changes, .. } = decided;
    let mut lines = Vec::new();
    if verdict.skipped {
        lines.push("left alone: by its namespace, its owner, or the annotation berth.dev/skip".to_owned());
    }
    lines.extend(verdict.notes.iter().map(ToString::to_string));
    if let Some(reason) = &verdict.denied {
        lines.push(format!("denied: {reason}"));
    } else if subject.template || !format.is_whole() {
        let why = if subject.template { "told only, as it may be another one tomorrow" } else { "see -o json" };
        lines.extend(placement(&verdict.placement).into_iter().map(|text| format!("{text} ({why})")));
    }
    if !format.is_whole() && !changes.is_empty() && rewritten.unchanged.contains(&subject.document) {
        lines.push("not written: an anchor shares the image with what must stay; see -o json".to_owned());
    }
    lines.iter().map(|line| format!("{}/{}: {line}", subject.kind, subject.name)).collect()
}

/// Where the Pods would run; a note says it where they would wait.
fn placement(placement: &Placement) -> Vec<String> {
    let hosts = match &placement.required {
        Some(Requirement::In(nodes)) => Some(format!("would run only on {}", enumerated(nodes))),
        Some(Requirement::NotIn(nodes)) => Some(format!("would not run on {}", enumerated(nodes))),
        None => None,
    };
    let labelled = |sets: &[Selector]| sets.iter().map(|set| format!("nodes with {set}")).collect::<Vec<_>>();
    let required = match (hosts, labelled(&placement.provided)) {
        (hosts, labels) if labels.is_empty() => hosts,
        (Some(hosts), labels) => Some(format!("{hosts}, or on {}", labels.join(" or "))),
        (None, labels) => Some(format!("would run only on {}", labels.join(" or "))),
    };
    let preferred = [placement.preferred.clone(), labelled(&placement.preferred_labels)].concat();
    let preferred = (!preferred.is_empty()).then(|| format!("would prefer {}", enumerated(&preferred)));
    [required, preferred].into_iter().flatten().collect()
}

/// `a, b, c and 12 more`.
fn enumerated(nodes: &[String]) -> String {
    let shown = nodes.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match nodes.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Nodes named in one line.
const SHOWN: usize = 10;

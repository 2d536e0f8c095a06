//! What the table cannot say, in sentences.

use std::collections::BTreeMap;

use super::rows::{Report, Row};
use crate::admission::place::Standing;

/// The sentences, most important first. `left_out`: columns for which there was no room.
pub(super) fn below(report: &Report, left_out: &[&str]) -> Vec<String> {
    let Report { image, rows, .. } = report;
    if rows.is_empty() {
        return vec!["the cluster has no nodes".to_owned()];
    }
    let mut notes = Vec::new();
    if !report.is_held() {
        notes.push(format!("no node is known to hold {image}"));
    }
    notes.extend(doubts(rows));
    let of = |standing| named(rows.iter().filter(|row| row.status == standing).map(|row| row.node.as_str()));
    if let Some((nodes, one)) = of(Standing::Contested) {
        let (list, its) = if one { ("lists", "its kubelet") } else { ("list", "their kubelets") };
        notes.push(format!(
            "{nodes} {list} it, but {its} may refuse it: the same content was pulled under another name"
        ));
    }
    if let Some((nodes, one)) = of(Standing::Told) {
        let (was, list) = if one { ("was", "its list") } else { ("were", "their lists") };
        notes.push(format!("{nodes} {was} loaded just now: {list} will show it within 40 s"));
    }
    notes.extend(builds(report));
    let here = |row: &&Row| row.status < Standing::Unknown;
    if rows.iter().any(|row| here(&row) && row.since.is_none()) {
        notes.push(
            "since when is known for what berth load put there, and for what changes while --watch runs".to_owned(),
        );
    }
    if !left_out.is_empty() {
        notes.push(format!("no room for {}: a wider terminal, a pipe and -o json show them", left_out.join(", ")));
    }
    notes
}

/// Why nodes may hold it that do not list it, a sentence for each reason.
fn doubts(rows: &[Row]) -> Vec<String> {
    let mut reasons: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for row in rows {
        if let Some(doubt) = row.doubt {
            reasons.entry(doubt).or_default().push(&row.node);
        }
    }
    let sentence = |(doubt, nodes): (_, Vec<&str>)| {
        let (nodes, _) = named(nodes.into_iter())?;
        Some(format!("{nodes}: {doubt}, so the image may be there"))
    };
    reasons.into_iter().filter_map(sentence).collect()
}

/// That not all nodes hold the same.
fn builds(report: &Report) -> Option<String> {
    let builds: Vec<String> =
        report.builds.iter().filter_map(|nodes| Some(named(nodes.iter().map(String::as_str))?.0)).collect();
    match builds.as_slice() {
        [] => None,
        [first, others @ ..] => Some(format!("different builds: on {first}; on {}", others.join("; on "))),
    }
}

/// `a, b, c and 12 more`, and whether it is only one; none where it is nobody.
fn named<'a>(nodes: impl Iterator<Item = &'a str>) -> Option<(String, bool)> {
    let nodes: Vec<&str> = nodes.collect();
    let shown = nodes.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match nodes.len() {
        0 => None,
        all if all > SHOWN => Some((format!("{shown} and {} more", all - SHOWN), false)),
        all => Some((shown, all == 1)),
    }
}

/// Nodes named in one sentence.
const SHOWN: usize = 3;

//! The rules of `mirror:` against each other: their order, and the ones that cannot have been meant.

use super::{
    Resolve, Rule,
    section::{Findings, Place},
};

/// A rule and where it stands in the file.
#[derive(Debug)]
pub(super) struct Placed {
    /// The rule.
    pub(super) rule: Rule,
    /// Its first line.
    pub(super) place: Place,
}

/// Checks the rules, in the file's order, against each other, and puts the most specific first.
///
/// Two rules of one source are alternatives, asked in the file's order.
pub(super) fn arrange(mut rules: Vec<Placed>, findings: &mut Findings) -> Vec<Rule> {
    for (index, later) in rules.iter().enumerate() {
        let mut same = rules.iter().take(index).filter(|earlier| earlier.rule.source == later.rule.source);
        if let Some(problem) = same.find_map(|earlier| conflict(earlier, later)) {
            findings.errors.push(later.place.finding(problem));
        }
        if let Some(problem) = rules.iter().find_map(|other| hidden(&later.rule, other)) {
            findings.errors.push(later.place.finding(problem));
        }
        if let Some(problem) = rules.iter().find_map(|other| chain(&later.rule, other)) {
            findings.errors.push(later.place.finding(problem));
        }
    }
    // A stable sort: the file's order breaks ties.
    rules.sort_by_key(|placed| std::cmp::Reverse(placed.rule.source.split('/').count()));
    rules.into_iter().map(|placed| placed.rule).collect()
}

/// Why `later`, of the same source, can never do what it says.
fn conflict(earlier: &Placed, later: &Placed) -> Option<String> {
    let (first, second, line) = (&earlier.rule, &later.rule, earlier.place.line());
    let source = &second.source;
    if first.mirror == second.mirror {
        return Some(format!(
            "the rule in line {line} hides this one: same source `{source}`, same mirror; remove one"
        ));
    }
    let differs = |key| format!("`{key}` differs from the rule in line {line}: alternatives for `{source}` must agree");
    if first.resolve != second.resolve {
        return Some(differs("resolve"));
    }
    (first.fallback != second.fallback).then(|| differs("fallback"))
}

/// Why `wider` leaves nothing to `rule`: where a rule resolves at its mirror, no rule that asks the source counts.
fn hidden(rule: &Rule, wider: &Placed) -> Option<String> {
    let (source, line) = (&wider.rule.source, wider.place.line());
    let hides = wider.rule.resolve == Resolve::Mirror && rule.resolve == Resolve::Source;
    (hides && rule.source != *source && below(&rule.source, source)).then(|| {
        format!("the rule in line {line} hides this one: it has `resolve: mirror` for all of `{source}`; write `resolve: mirror` here too")
    })
}

/// Why what `rule` writes would be rewritten once more, when the API server calls again.
fn chain(rule: &Rule, other: &Placed) -> Option<String> {
    let source = &other.rule.source;
    let again = below(&rule.mirror, source) || below(source, &rule.mirror);
    again.then(|| {
        let line = other.place.line();
        format!(
            "the mirror `{}` overlaps with the source `{source}` in line {line}: its images would be rewritten twice",
            rule.mirror
        )
    })
}

/// Whether `name` is `prefix` or lies below it, by whole path components.
fn below(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is doubtful about one rule.
pub(super) fn doubts(rule: &Rule) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(organisation) =
        rule.source.strip_prefix("docker.io/").filter(|path| *path != "library" && !path.contains('/'))
    {
        doubts.push(format!(
            "`docker.io/{organisation}` is all of the organisation `{organisation}`; the official image is `docker.io/library/{organisation}`"
        ));
    }
    doubts.extend(host_doubt(&rule.mirror));
    doubts
}

/// Nodes resolve names by their own DNS, not by the cluster's.
fn host_doubt(mirror: &str) -> Option<String> {
    let host = mirror.split('/').next().unwrap_or_default();
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let inside = [".svc", ".cluster.local"].iter().any(|domain| name.ends_with(domain));
    let single = !name.contains(['.', ']']) && (name != "localhost" || port.is_none());
    (inside || single).then(|| {
        format!(
            "nodes are unlikely to resolve `{host}`, because they do not use the cluster's DNS; a NodePort, as in `localhost:30500`, reaches every node"
        )
    })
}

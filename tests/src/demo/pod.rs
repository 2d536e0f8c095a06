//! What is to be read from stored Pods, and what became of them.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

/// A Pod, and what became of it.
pub(super) struct Seen {
    pub(super) stored: Value,
    pub(super) end: End,
}

/// What became of a Pod, as far as can be seen.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum End {
    /// It waits behind Berth's gate.
    Waits,
    /// The scheduler has bound it to a node, where nothing runs.
    Bound,
    /// It runs, and answers this build.
    Runs(String),
    /// The kubelet cannot start it, for this reason.
    Fails(String),
}

impl Seen {
    /// The node that the Pod is bound to.
    pub(super) fn node(&self) -> Option<&str> {
        text(&self.stored, "/spec/nodeName")
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits => formatter.write_str("behind a gate"),
            Self::Bound => formatter.write_str("bound"),
            Self::Runs(build) => write!(formatter, "running {build}"),
            Self::Fails(reason) => formatter.write_str(reason),
        }
    }
}

/// Whether the stored Pod waits behind Berth's gate.
pub(super) fn is_gated(stored: &Value) -> bool {
    text(stored, "/spec/schedulingGates/0/name") == Some("berth.dev/image-on-node")
}

/// The nodes that `pods` are bound to.
pub(super) fn nodes(pods: &[Seen]) -> Vec<&str> {
    let mut nodes: Vec<_> = pods.iter().filter_map(Seen::node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// What became of them, in words: `1 on node-a: running the dashboard, 1 on node-b: ErrImageNeverPull`.
pub(super) fn told(pods: &[Seen]) -> String {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for pod in pods {
        *counts.entry((pod.node(), &pod.end)).or_default() += 1;
    }
    let words = counts.iter().map(|((node, end), count)| match (node, end) {
        (Some(node), End::Bound) => format!("{count} on {node}"),
        (Some(node), end) => format!("{count} on {node}: {end}"),
        (None, end) => format!("{count} {end}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Whether every one of `pods` is bound to one of `nodes`.
pub(super) fn all_on(pods: &[Seen], nodes: &[&str]) -> bool {
    !pods.is_empty() && pods.iter().all(|pod| pod.node().is_some_and(|node| nodes.contains(&node)))
}

/// Whether the container of every one of `pods` has this image.
pub(super) fn all_have(pods: &[Seen], image: &str) -> bool {
    !pods.is_empty() && pods.iter().all(|pod| text(&pod.stored, "/spec/containers/0/image") == Some(image))
}

/// Whether every one of `pods` runs `build`.
pub(super) fn all_run(pods: &[Seen], build: &str) -> bool {
    !pods.is_empty() && pods.iter().all(|pod| matches!(&pod.end, End::Runs(runs) if runs == build))
}

/// Whether one of `pods` runs `build`.
pub(super) fn one_runs(pods: &[Seen], build: &str) -> bool {
    pods.iter().any(|pod| matches!(&pod.end, End::Runs(runs) if runs == build))
}

/// Whether a kubelet cannot start one of `pods`, and none of them for another reason than these.
pub(super) fn fails(pods: &[Seen], reasons: &[&str]) -> bool {
    let mut failed = pods.iter().filter_map(|pod| match &pod.end {
        End::Fails(reason) => Some(reasons.contains(&reason.as_str())),
        _ => None,
    });
    failed.next() == Some(true) && failed.all(|expected| expected)
}

/// The Pod without what differs between any two Pods of a Deployment: names, times, owners, and what came later.
pub(super) fn as_written(pod: &Value) -> Value {
    let mut pod = pod.clone();
    for (part, keys) in LATER {
        if let Some(fields) = pod.pointer_mut(part).and_then(Value::as_object_mut) {
            fields.retain(|key, _| !keys.contains(&key.as_str()));
        }
    }
    pod
}

/// `text` with digests by their first letters: nobody reads 64 of them.
pub(super) fn shortened(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let letters = part.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(part.len());
        let (digest, rest) = part.split_at(letters);
        short.push_str("sha256:");
        short.extend(digest.chars().take(DIGEST_LETTERS));
        short.push_str(if digest.len() > DIGEST_LETTERS { "…" } else { "" });
        short.push_str(rest);
    }
    short
}

fn text<'p>(pod: &'p Value, pointer: &str) -> Option<&'p str> {
    pod.pointer(pointer).and_then(Value::as_str)
}

/// What the API server, the controllers and the scheduler write.
const LATER: [(&str, &[&str]); 3] = [
    ("", &["status"]),
    (
        "/metadata",
        &[
            "creationTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "ownerReferences",
            "resourceVersion",
            "uid",
        ],
    ),
    ("/spec", &["nodeName"]),
];
const DIGEST_LETTERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_are_shortened() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(shortened(&format!("a@sha256:{digest}, b@sha256:0b c")), "a@sha256:01234567…, b@sha256:0b c");
        assert_eq!(shortened("no digest"), "no digest");
    }
}

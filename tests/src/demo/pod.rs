//! What is to be read from stored Pods.

use std::collections::BTreeMap;

use serde_json::Value;

/// The node that the Pod is bound to.
pub(super) fn node(pod: &Value) -> Option<&str> {
    text(pod, "/spec/nodeName")
}

/// Whether the Pod waits behind Berth's gate.
pub(super) fn gated(pod: &Value) -> bool {
    text(pod, "/spec/schedulingGates/0/name") == Some("berth.dev/image-on-node")
}

/// How many of `pods` are bound to which node.
pub(super) fn places(pods: &[Value]) -> BTreeMap<&str, usize> {
    pods.iter().filter_map(node).fold(BTreeMap::new(), |mut places, node| {
        *places.entry(node).or_default() += 1;
        places
    })
}

/// The same in words: `1 on k3s-a, 1 on k3s-b`.
pub(super) fn told(pods: &[Value]) -> String {
    let places: Vec<_> = places(pods).iter().map(|(node, count)| format!("{count} on {node}")).collect();
    if places.is_empty() { "none is bound".to_owned() } else { places.join(", ") }
}

/// Whether every one of `pods` is bound to one of `nodes`.
pub(super) fn all_on(pods: &[Value], nodes: &[&str]) -> bool {
    !pods.is_empty() && pods.iter().all(|pod| node(pod).is_some_and(|node| nodes.contains(&node)))
}

/// Whether the container of every one of `pods` has this image.
pub(super) fn all_have(pods: &[Value], image: &str) -> bool {
    !pods.is_empty() && pods.iter().all(|pod| text(pod, "/spec/containers/0/image") == Some(image))
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

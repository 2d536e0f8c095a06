//! The result, in the format that was asked for.

use serde_json::Value;

use super::decide::Decided;
use crate::manifest::Manifest;

/// What is written to standard output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Format {
    /// The file, with other bytes only where images and pull policies stand.
    Yaml,
    /// Every object as it would be stored, one after the other.
    Json,
    /// The lines of the file that change, as `patch` and `git apply` take them.
    Diff,
    /// JSON patches (RFC 6902), one for each object.
    Patch,
}

impl Format {
    /// It shows everything that happens to a Pod, not only to its images and pull policies.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Json | Self::Patch)
    }
}

/// The documents as JSON, without empty ones.
pub(super) fn json(manifest: &Manifest, decided: &[Decided]) -> String {
    let mut documents: Vec<Value> = manifest.values().cloned().collect();
    for one in decided {
        let pod = documents.get_mut(one.subject.document).and_then(|document| one.subject.pod_in(document));
        if let Some(pod) = pod {
            pod.clone_from(&one.after);
        }
    }
    let lines = documents.iter().filter(|document| !document.is_null()).map(|document| format!("{document:#}\n"));
    lines.collect::<Vec<_>>().concat()
}

/// The patches of all objects that change, each below a comment that names its object: a YAML stream.
pub(super) fn patches(decided: &[Decided]) -> String {
    let changing = decided.iter().filter(|one| !one.verdict.patch.0.is_empty());
    changing.map(patch).collect::<Vec<_>>().join("---\n")
}

fn patch(decided: &Decided) -> String {
    let subject = &decided.subject;
    let prefix = subject.pod.iter().skip(subject.object.len()).flat_map(|step| ["/", step]).collect::<String>();
    let mut operations = serde_json::to_value(&decided.verdict.patch).unwrap_or_default();
    for operation in operations.as_array_mut().into_iter().flatten() {
        if let Some(Value::String(path)) = operation.get_mut("path") {
            path.insert_str(0, &prefix);
        }
    }
    let namespace = subject.namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    format!("# {}/{}{namespace}\n{operations:#}\n", subject.kind, subject.name)
}

/// A unified difference, painted for a person's eye.
pub(super) fn painted(diff: &str) -> String {
    let paint = |line: &str| match line.bytes().next() {
        _ if line.starts_with("---") || line.starts_with("+++") => format!("\x1b[1m{line}\x1b[0m\n"),
        Some(b'-') => format!("\x1b[31m{line}\x1b[0m\n"),
        Some(b'+') => format!("\x1b[32m{line}\x1b[0m\n"),
        Some(b'@') => format!("\x1b[36m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    };
    diff.lines().map(paint).collect::<Vec<_>>().concat()
}

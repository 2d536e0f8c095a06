//! Every Pod and template through the review.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::{
    admission::{self, App, Moment, Verdict, decode::Pod, workload},
    manifest::{Changes, Manifest, Subject, image_changes},
    registry::Resolve,
};

/// A Pod or template, and what was decided about it.
pub(super) struct Decided {
    pub(super) subject: Subject,
    pub(super) verdict: Verdict,
    /// The Pod or template afterwards.
    pub(super) after: Value,
    /// The images and pull policies that changed, by their path in the document.
    pub(super) changes: Changes,
}

/// Decides about all `subjects` of `manifest`, in order; objects without a namespace go to `namespace`.
///
/// # Errors
/// The line, and what is wrong, where something is no Pod that the API server can read.
pub(super) async fn all<R: Resolve>(
    app: &App<R>,
    manifest: &Manifest,
    subjects: Vec<Subject>,
    namespace: &str,
) -> Result<Vec<Decided>, String> {
    let decided = subjects.into_iter().map(|subject| one(app, manifest, subject, namespace));
    stream::iter(decided).buffered(AT_ONCE).try_collect().await
}

async fn one<R: Resolve>(
    app: &App<R>,
    manifest: &Manifest,
    subject: Subject,
    namespace: &str,
) -> Result<Decided, String> {
    let written = manifest.value(subject.document, &subject.pod).unwrap_or(&Value::Null);
    let mut after = without_nulls(written);
    if let Value::Object(pod) = &mut after
        && !subject.template
    {
        // By the time that it is reviewed a Pod has at least a name.
        pod.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    }
    let text = after.to_string();
    let mut pod = decode(&text).map_err(|(path, why)| {
        let path = [&subject.pod[..], &path].concat();
        let line = manifest.line(subject.document, &path).unwrap_or_default();
        format!("{line}: {}/{}: {}: {why}", subject.kind, subject.name, path.join("."))
    })?;
    if subject.template {
        pod.metadata.owner_references = workload::owner_by_kind(&subject.kind).into_iter().collect();
    }
    let reviewed = admission::Subject {
        pod: &pod,
        old: None,
        namespace: subject.namespace.as_deref().unwrap_or(namespace),
        moment: if subject.template { Moment::Template } else { Moment::Create },
        proven: true, // whoever runs this may read the credentials anyway
    };
    let mut verdict = app.decide(&reviewed, Instant::now() + LIMIT).await;
    if let Err(error) = json_patch::patch(&mut after, &verdict.patch) {
        verdict.denied = Some(format!("Berth's own patch does not apply, please report it: {error}"));
    }
    let changes = image_changes(&subject.pod, written, &after);
    Ok(Decided { subject, verdict, after, changes })
}

/// Reads a Pod; or says where in it something has the wrong type.
fn decode(text: &str) -> Result<Pod<'_>, (Vec<String>, String)> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().iter().filter(|step| !matches!(step, Segment::Unknown)).map(ToString::to_string);
        let why = error.inner().to_string();
        // The position is one in a text that nobody has seen.
        let why = why.split(" at line ").next().unwrap_or_default().to_owned();
        (path.map(|step| step.trim_matches(['[', ']']).to_owned()).collect(), why)
    })
}

/// Without its nulls, as the API server reads it: a field without a value is no field, a key without one is an empty text.
fn without_nulls(value: &Value) -> Value {
    let text = |(key, value): (&String, &Value)| {
        let value = if value.is_null() { Value::from("") } else { value.clone() };
        (key.clone(), value)
    };
    let member = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::Object(texts) if MAPS_OF_TEXTS.contains(&key.as_str()) => {
            Some((key.clone(), texts.iter().map(text).collect()))
        }
        _ => Some((key.clone(), without_nulls(value))),
    };
    match value {
        Value::Object(members) => members.iter().filter_map(member).collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The changes of images and pull policies, for each document of `manifest`.
pub(super) fn changes(manifest: &Manifest, decided: &[Decided]) -> Vec<Changes> {
    let mut changes = vec![Changes::new(); manifest.values().count()];
    for one in decided {
        if let Some(of_document) = changes.get_mut(one.subject.document) {
            of_document.extend(one.changes.clone());
        }
    }
    changes
}

/// Fields of Pods whose keys people choose.
const MAPS_OF_TEXTS: [&str; 4] = ["annotations", "labels", "matchLabels", "nodeSelector"];
/// Time for one Pod: what an API server gives a webhook by default.
const LIMIT: Duration = Duration::from_secs(10);
/// Pods decided at the same time.
const AT_ONCE: usize = 8;

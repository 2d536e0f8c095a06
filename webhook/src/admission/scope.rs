//! Who is left alone, and which steps a Pod's owner or its tenant has switched off.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Moment, Subject, decode::Metadata, note::Note};
use crate::config::{Config, OwnerKind, Steps};

/// Which of the three verbs may touch this Pod.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Scope {
    /// The verbs that are left.
    pub steps: Steps,
    /// What people should know about what they asked for.
    pub notes: Vec<Note>,
}

/// What the annotation `berth.dev/skip` says on a Pod or on its Namespace.
pub const SKIP: &str = "berth.dev/skip";

/// Decides which steps `subject` goes through; `namespace_skip` is the Namespace's annotation.
pub fn scope(subject: &Subject<'_>, config: &Config, own_namespace: &str, namespace_skip: Option<&str>) -> Scope {
    let metadata = believed(subject);
    let namespace = subject.namespace;
    if UNTOUCHED.contains(&namespace) || namespace == own_namespace || annotation(metadata, MIRROR_POD).is_some() {
        return Scope::default();
    }
    let mut scope = Scope { steps: Steps { pin: true, mirror: true, place: true }, notes: Vec::new() };
    if owner_compares_images(metadata, &config.skip_owners) {
        scope.steps = Steps { pin: false, mirror: false, place: true };
    }
    let pod_skip = annotation(metadata, SKIP);
    for text in namespace_skip.into_iter().chain(pod_skip.as_deref()) {
        scope.skip(text, config.tenants.may_skip);
    }
    scope
}

impl Scope {
    fn skip(&mut self, text: &str, may: Steps) {
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (step, allowed) = match word {
                "pin" => (&mut self.steps.pin, may.pin),
                "mirror" => (&mut self.steps.mirror, may.mirror),
                "place" => (&mut self.steps.place, may.place),
                _ => {
                    self.notes.push(Note::info(format!("{SKIP}: `{word}` is not one of pin, mirror, place")));
                    continue;
                }
            };
            if allowed {
                *step = false;
            } else {
                self.notes.push(Note::info(format!("{SKIP}: {word} may not be skipped in this cluster")));
            }
        }
    }
}

/// The metadata that can be believed.
///
/// Whoever adds an ephemeral container may send any metadata along: it is dropped, but only after webhooks were asked.
///
/// # Source
/// Kubernetes 1.36, `pkg/registry/core/pod/strategy.go`, `dropNonEphemeralContainerUpdates`.
fn believed<'a>(subject: &Subject<'a>) -> &'a Metadata<'a> {
    match subject.old {
        Some(old) if subject.moment == Moment::Debug => &old.metadata,
        _ => &subject.pod.metadata,
    }
}

fn owner_compares_images(metadata: &Metadata<'_>, kinds: &[OwnerKind]) -> bool {
    metadata.owner_references.iter().any(|owner| {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        kinds.iter().any(|kind| kind.group == group && kind.kind == owner.kind)
    })
}

/// The value of one annotation.
pub fn annotation(metadata: &Metadata<'_>, key: &str) -> Option<String> {
    let raw = metadata.annotations?;
    // Most Pods have annotations, few have ours: a look at the text spares the map.
    raw.get().contains(key).then(|| entry(raw, key)).flatten()
}

/// The value of `key` in `{"key": "value"}`.
pub(super) fn entry(raw: &RawValue, key: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Texts(std::collections::HashMap<String, String>);
    let Texts(mut map) = serde_json::from_str(raw.get()).ok()?;
    map.remove(key)
}

/// Namespaces that the cluster itself needs.
const UNTOUCHED: [&str; 2] = ["kube-system", "kube-node-lease"];
/// The kubelet's mark on the API object of a static Pod: it cannot be changed, only shown.
/// Source: `k8s.io/api/core/v1`, `MirrorPodAnnotationKey`.
const MIRROR_POD: &str = "kubernetes.io/config.mirror";

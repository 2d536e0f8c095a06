//! Whether `imagePullPolicy: Always` may become `IfNotPresent`.

use super::{Plan, Subject, patch, scope::annotation, select::PullPolicy, verb::Verb};

/// How far the policies of a Pod may be relaxed without a risk that it is refused for that.
///
/// The API server's plugin `AlwaysPullImages` sets every policy of a new Pod to `Always`, sets it again after a webhook
/// has changed something, and in the end refuses a Pod that has another one. So what is relaxed when Berth is called
/// first is set back, and nothing is lost; what is relaxed when it is called again is refused.
///
/// # Source
/// Kubernetes 1.36, `plugin/pkg/admission/alwayspullimages` and `apiserver/pkg/admission/reinvocation.go`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relaxing {
    /// Some policy is another one, which proves that the plugin is off; or this is surely the first call.
    Freely,
    /// This is the first call, as far as the Pod shows: what leaves a note may be relaxed, since the note is seen at the
    /// next call. A sidecar that was injected since then has no note yet, and comes from a registry: so it is kept as it is.
    WithNote,
    /// It has been set back.
    Never,
}

impl Relaxing {
    /// Reads it from what the Pod has.
    pub fn of(subject: &Subject<'_>, plans: &[Plan<'_>]) -> Self {
        if !subject.moment.is_creation() || plans.iter().any(|plan| plan.slot.policy != PullPolicy::Always) {
            return Self::Freely;
        }
        if patch::TRACES.iter().any(|key| annotation(&subject.pod.metadata, key).is_some()) {
            return Self::Never;
        }
        if plans.iter().all(is_untouched) { Self::Freely } else { Self::WithNote }
    }
}

/// Whether the image has no digest, and its `Always` is the default, or it is decided about now.
fn is_untouched(plan: &Plan<'_>) -> bool {
    let Some(image) = plan.image() else { return false };
    let decided_now = matches!(plan.verb, Verb::Ask | Verb::Place { relax: true });
    image.digest().is_none() && (decided_now || image.effective_tag() == Some("latest"))
}

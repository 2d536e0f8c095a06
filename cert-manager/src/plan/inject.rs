//! The bundle that somebody else brings.

use std::time::{Duration, SystemTime};

use super::{Action, Publication, publish};
use crate::{
    Bundle, moment,
    served::PATIENCE,
    settings::{Settings, Source},
    state::{CHANGED, Published, State},
};

/// Publishes the bundle. What it replaces stays beside it for the hold: replicas do not
/// take the new leaf at the same moment, nor do API servers learn of the new bundle at once.
pub(super) fn next(now: SystemTime, state: &State, settings: &Settings) -> Action {
    let Some(bundle) = brought(now, state, settings) else {
        return Action::Wait { until: None }; // what is published stays
    };
    let webhooks = state.configurations.iter().flat_map(|one| &one.object.webhooks);
    let published = webhooks.flat_map(|webhook| webhook.bundle.iter()).cloned().collect::<Bundle>().unexpired(now);
    let due = |one| due(now, one, &bundle, &published, settings);
    let due: Vec<_> = state.configurations.iter().filter_map(due).collect();
    if !due.is_empty() {
        return Action::Publish(due);
    }
    let removals = state.configurations.iter().filter_map(|one| one.changed?.checked_add(overlap(settings)));
    Action::Wait { until: removals.filter(|moment| *moment > now).min() }
}

/// The CAs as they are given, or those beside a leaf, if API servers that trust them accept it.
fn brought(now: SystemTime, state: &State, settings: &Settings) -> Option<Bundle> {
    if let Source::Authorities(bundle) = &settings.source {
        return Some(bundle.unexpired(now)).filter(|bundle| !bundle.is_empty());
    }
    let content = &state.serving.as_ref()?.content;
    let (chain, bundle) = (content.chain.as_ref().ok()?, content.bundle.as_ref()?);
    chain.verify(bundle, &settings.call(), now).ok()?;
    Some(bundle.unexpired(now))
}

/// What `one` has to become; where it has nothing any more, the others say in `published` what was there before.
fn due(
    now: SystemTime,
    one: &Published,
    bundle: &Bundle,
    published: &Bundle,
    settings: &Settings,
) -> Option<Publication> {
    if one.injector.is_some() {
        return None; // that project's injector does it
    }
    let before = |present: &Bundle| if present.is_empty() { published.clone() } else { present.unexpired(now) };
    let added = publish::changed(one, |present| bundle.with(&before(present)), |present| present.holds(bundle));
    if !added.is_empty() {
        let annotations = vec![(CHANGED, Some(moment::written(now)))];
        // What has a date had a bundle.
        let wiped = one.changed.is_some() && one.object.webhooks.iter().any(|webhook| webhook.bundle.is_empty());
        let restored = wiped.then(|| one.object.other_writer.clone());
        return Some(Publication { bundles: added, annotations, restored, ..publish::unchanged(one) });
    }
    let alone = publish::changed(one, |_| bundle.clone(), |present| present.is(bundle));
    let over = one.changed.and_then(|changed| changed.checked_add(overlap(settings))).is_some_and(|over| over <= now);
    let (bundles, date) = match one.changed {
        Some(_) if over => (alone, None),
        None if !alone.is_empty() => (Vec::new(), Some(moment::written(now))), // what is not needed any more, from now on
        _ => return None,
    };
    Some(Publication { bundles, annotations: vec![(CHANGED, date)], ..publish::unchanged(one) })
}

/// How long what was published before stays: replicas serve by it until their doubt is over.
fn overlap(settings: &Settings) -> Duration {
    settings.hold.max(PATIENCE.saturating_mul(2))
}

//! Which configurations lack the bundle.

use super::Publication;
use crate::{
    Bundle,
    state::{GENERATION, Published},
    store::Webhook,
};

/// What has to be put into `configuration` so that it has the `bundle` of `generation`; none where it does.
///
/// Ordinary repair only adds: what else stands there may be needed by somebody who knows more. Only what came from a
/// lower generation is replaced, because its CAs are in this one as long as they are needed.
pub(super) fn publication(configuration: &Published, bundle: &Bundle, generation: u64) -> Option<Publication> {
    if configuration.injector.is_some() {
        return None; // the CNCF project cert-manager would put its own back at once
    }
    let outdated = configuration.generation.is_some_and(|own| own < generation);
    let bundles = if outdated {
        changed(configuration, |_| bundle.clone(), |present| present.is(bundle))
    } else {
        changed(configuration, |present| bundle.with(present), |present| present.holds(bundle))
    };
    let current = configuration.generation == Some(generation);
    if current && bundles.is_empty() {
        return None;
    }
    let restored = (current && !bundles.is_empty()).then(|| configuration.object.other_writer.clone());
    let annotations = vec![(GENERATION, Some(generation.to_string()))];
    Some(Publication { bundles, annotations, restored, ..unchanged(configuration) })
}

/// The webhooks whose bundle is not `good`, with the one that they should have.
pub(super) fn changed(
    configuration: &Published,
    wanted: impl Fn(&Bundle) -> Bundle,
    good: impl Fn(&Bundle) -> bool,
) -> Vec<Webhook> {
    let webhooks = configuration.object.webhooks.iter().filter(|webhook| !good(&webhook.bundle));
    webhooks.map(|webhook| Webhook { name: webhook.name.clone(), bundle: wanted(&webhook.bundle) }).collect()
}

/// Nothing for `configuration` yet.
pub(super) fn unchanged(configuration: &Published) -> Publication {
    Publication {
        name: configuration.name.clone(),
        uid: configuration.object.uid.clone(),
        version: configuration.object.version.clone(),
        bundles: Vec::new(),
        annotations: Vec::new(),
        restored: None,
    }
}

//! What a new CA's Secret takes over where the old one is lost, broken or put back from a copy.

use std::{cmp::Reverse, time::SystemTime};

use super::Inheritance;
use crate::{Bundle, served::PATIENCE, settings::Settings, state::State};

/// The CAs that are still needed: those that a leaf in use may have been signed by stay trusted, so that it can be served
/// until the new CA is known everywhere.
///
/// They are found in the old Secret, beside the leaf as far as they vouch for it, and in the configurations.
pub(super) fn inheritance(now: SystemTime, state: &State, settings: &Settings) -> Inheritance {
    let old = state.authorities.as_ref().map(|stored| stored.content.bundle()).unwrap_or_default();
    let beside = vouching(now, state, settings);
    let retired = old.with(&beside).with(&newest(now, state)).unexpired(now);
    let until = [
        // The first leaf of the new CA takes seconds to come, and replicas doubt it for a while.
        now.checked_add(settings.hold.max(PATIENCE.saturating_mul(3))),
        state.authorities.as_ref().and_then(|stored| stored.content.retired_until),
        state.serving.as_ref().and_then(|stored| {
            let chain = stored.content.chain.as_ref().ok()?;
            let vouched = chain.verify(&retired, &settings.call(), now).is_ok();
            vouched.then(|| Some(chain.validity().not_after).max(stored.content.valid_until))?
        }),
    ];
    Inheritance {
        generation: state.highest_generation() + 1,
        retired,
        until: until.into_iter().flatten().max().unwrap_or(now),
    }
}

/// The CAs beside the leaf that vouch for it.
fn vouching(now: SystemTime, state: &State, settings: &Settings) -> Bundle {
    let Some((chain, bundle)) = state
        .serving
        .as_ref()
        .and_then(|stored| Some((stored.content.chain.as_ref().ok()?, stored.content.bundle.as_ref()?)))
    else {
        return Bundle::default();
    };
    let vouches =
        |anchor: &_| chain.verify(&[Clone::clone(anchor)].into_iter().collect(), &settings.call(), now).is_ok();
    bundle.iter().filter(|anchor| vouches(*anchor)).cloned().collect()
}

/// The newest of the CAs that configurations have. Whoever loses Secrets again and again would pile them up otherwise.
fn newest(now: SystemTime, state: &State) -> Bundle {
    let webhooks = state.configurations.iter().flat_map(|one| &one.object.webhooks);
    let published: Bundle = webhooks.flat_map(|webhook| webhook.bundle.iter()).cloned().collect();
    let mut published: Vec<_> = published.unexpired(now).iter().cloned().collect();
    published.sort_by_key(|anchor| Reverse(anchor.validity().not_before));
    published.into_iter().take(INHERITED).collect()
}

/// How many CAs are taken over from configurations.
const INHERITED: usize = 4;

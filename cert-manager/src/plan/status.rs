//! What the objects say, in figures.

use std::time::SystemTime;

use super::publish::publication;
use crate::{
    Authority, Bundle,
    settings::{Settings, Source},
    state::{Authorities, State},
};

/// What the objects say, for metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// When the leaf that is stored expires; none where there is none that can be served.
    pub leaf_expires: Option<SystemTime>,
    /// When the CA that signs expires; none where none can.
    pub authority_expires: Option<SystemTime>,
    /// Whether another CA than the one that signs is on its way.
    pub rotating: bool,
    /// Configurations that are there.
    pub configurations: usize,
    /// Those among them that lack the bundle.
    pub unpublished: usize,
}

/// What `state` says at `now`.
pub fn status(now: SystemTime, state: &State, settings: &Settings) -> Status {
    let authorities = state.authorities.as_ref().map(|stored| (&stored.content, stored.generation.unwrap_or_default()));
    let bundle = bundle(state, authorities.map(|(content, _)| content), settings);
    let leaf = state.serving.as_ref().and_then(|stored| stored.content.chain.as_ref().ok());
    let leaf = leaf.filter(|chain| chain.verify(&bundle, &settings.call(), now).is_ok());
    let signing = authorities.and_then(|(content, _)| content.signing.usable(now)).map(Authority::validity);
    let lacks = |one: &&_| match authorities {
        Some((_, generation)) => publication(one, &bundle, generation).is_some(),
        None => one.injector.is_none() && one.object.webhooks.iter().any(|webhook| !webhook.bundle.holds(&bundle)),
    };
    Status {
        leaf_expires: leaf.map(|chain| chain.validity().not_after),
        authority_expires: signing.map(|validity| validity.not_after),
        rotating: authorities.is_some_and(|(content, _)| content.coming.is_some()),
        configurations: state.configurations.len(),
        unpublished: state.configurations.iter().filter(lacks).count(),
    }
}

/// The CAs that are to be trusted.
fn bundle(state: &State, authorities: Option<&Authorities>, settings: &Settings) -> Bundle {
    match (&settings.source, authorities) {
        (Source::Manager, Some(authorities)) => authorities.bundle(),
        (Source::Authorities(bundle), _) => bundle.clone(),
        _ => state.serving.as_ref().and_then(|stored| stored.content.bundle.clone()).unwrap_or_default(),
    }
}

//! What a person should know about the objects, besides what is done about them.

use std::time::SystemTime;

use crate::{
    Error, News, Subject, served,
    settings::{Settings, Source},
    state::{Slot, State},
};

/// Something that is wrong with an object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The serving Secret holds nothing that can be served.
    #[error("the certificate cannot be used: {0}")]
    Leaf(String),
    /// The CA's Secret holds nothing that can sign.
    #[error("the CA cannot sign: {0}")]
    Authority(String),
    /// The CA that is to sign next cannot.
    #[error("the CA that is coming cannot sign: {0}")]
    Coming(String),
    /// The Secret that somebody else should write is missing.
    #[error(
        "the Secret `{0}` is missing. With `certificates.source: secret` somebody else has to make it, with `tls.crt`, \
         `tls.key` and `ca.crt`: look at whoever should, or set `source: berth`"
    )]
    NoSecret(String),
    /// Two would write the same Secret.
    #[error(
        "the CNCF project cert-manager keeps the Secret `{0}` as well, while `certificates.source` is `berth`: set \
         `source: secret`, or delete its Certificate and this Secret"
    )]
    Kept(String),
    /// Two would write the same field.
    #[error(
        "it has the annotation `{annotation}`, by which the CNCF project cert-manager writes its `caBundle`, while \
         `certificates.source` is `berth`: remove the annotation, or set `source: secret`"
    )]
    Injector {
        /// The annotation.
        annotation: &'static str,
    },
}

impl Finding {
    /// As it is told.
    pub(crate) fn news(&self) -> News {
        let why = self.to_string();
        match self {
            Self::Leaf(_) | Self::Authority(_) | Self::Coming(_) => News::CertificateRefused { why },
            Self::NoSecret(_) | Self::Kept(_) | Self::Injector { .. } => News::CertificateTrouble { why },
        }
    }
}

/// What is wrong with the objects of `state` at `now`; of several findings about an object the gravest comes first.
pub fn findings(now: SystemTime, state: &State, settings: &Settings) -> Vec<(Subject, Finding)> {
    let mut found = Vec::new();
    let serving = Subject::Secret(settings.serving_secret.clone());
    match settings.source {
        Source::Nobody | Source::Authorities(_) => return found,
        Source::Manager => {
            found.extend(
                of_authorities(now, state).map(|one| (Subject::Secret(settings.authority_secret.clone()), one)),
            );
            found.extend(state.configurations.iter().filter_map(|one| {
                let annotation = one.injector?;
                Some((Subject::Configuration(one.name.clone()), Finding::Injector { annotation }))
            }));
        }
        Source::Secret if state.serving.is_none() => {
            found.push((serving.clone(), Finding::NoSecret(settings.serving_secret.clone())));
        }
        Source::Secret => (),
    }
    let unusable = refusal(now, state, settings).map(Finding::Leaf);
    found.extend(unusable.into_iter().chain(kept_twice(state, settings)).map(|finding| (serving.clone(), finding)));
    found
}

/// What is wrong with the CAs, where their Secret is there.
fn of_authorities(now: SystemTime, state: &State) -> impl Iterator<Item = Finding> {
    let content = state.authorities.as_ref().map(|stored| &stored.content);
    let signing = content.and_then(|content| obstacle(now, &content.signing)).map(Finding::Authority);
    let coming = content.and_then(|content| content.coming.as_ref());
    signing.into_iter().chain(coming.and_then(|coming| obstacle(now, coming)).map(Finding::Coming))
}

/// Why the CA in `slot` cannot sign; none where it can.
fn obstacle(now: SystemTime, slot: &Slot) -> Option<String> {
    match &slot.authority {
        Ok(authority) => authority.validity().check(now).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// The serving Secret has two who write it.
fn kept_twice(state: &State, settings: &Settings) -> Option<Finding> {
    let theirs = state.serving.as_ref()?.content.kept_by_cert_manager;
    (theirs && settings.source == Source::Manager).then(|| Finding::Kept(settings.serving_secret.clone()))
}

/// Why the leaf that is stored cannot be served; none where there is no Secret, or it can.
fn refusal(now: SystemTime, state: &State, settings: &Settings) -> Option<String> {
    let content = &state.serving.as_ref()?.content;
    let chain = match &content.chain {
        Ok(chain) => chain,
        Err(error) => return Some(error.to_string()),
    };
    let error = if let (Source::Manager, Some(authorities)) = (&settings.source, &state.authorities) {
        let refused = chain.verify(&authorities.content.bundle(), &settings.call(), now);
        // Where no CA counts, that is the fault, and the leaf may have none.
        refused.err().filter(|error| !matches!(error, Error::EmptyBundle))
    } else {
        let bundle = content.bundle.as_ref().ok_or(Error::Missing { entry: served::BUNDLE });
        bundle.and_then(|bundle| chain.verify(bundle, &settings.call(), now)).err()
    };
    error.map(|error| error.to_string())
}

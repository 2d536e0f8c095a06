//! What a person should know about the objects, besides what is done about them.

use std::time::SystemTime;

use crate::{
    Error, News, Subject, served,
    settings::{Settings, Source},
    state::State,
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
            Self::Leaf(_) | Self::Authority(_) => News::CertificateRefused { why },
            Self::NoSecret(_) | Self::Kept(_) | Self::Injector { .. } => News::CertificateTrouble { why },
        }
    }
}

/// What is wrong with the objects of `state` at `now`.
pub fn findings(now: SystemTime, state: &State, settings: &Settings) -> Vec<(Subject, Finding)> {
    let mut found = Vec::new();
    let serving = Subject::Secret(settings.serving_secret.clone());
    match settings.source {
        Source::Nobody | Source::Authorities(_) => return found,
        Source::Manager => {
            let authority = state.authorities.as_ref().map(|stored| &stored.content.signing.authority);
            if let Some(Err(error)) = authority {
                found.push((Subject::Secret(settings.authority_secret.clone()), Finding::Authority(error.to_string())));
            }
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
    let unusable = || refusal(now, state, settings).map(Finding::Leaf);
    found.extend(kept_twice(state, settings).or_else(unusable).map(|finding| (serving, finding)));
    found
}

/// The serving Secret has two who write it: that explains whatever else is wrong with it.
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
    let own = || content.bundle.clone().ok_or(Error::Missing { entry: served::BUNDLE });
    let bundle = match (&settings.source, &state.authorities) {
        (Source::Manager, Some(authorities)) => Ok(authorities.content.bundle()),
        _ => own(),
    };
    bundle.and_then(|bundle| chain.verify(&bundle, &settings.call(), now)).err().map(|error| error.to_string())
}

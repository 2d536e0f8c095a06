//! What registries say: the one seam towards them, and the client behind it.
//!
//! [`Resolve`] is the question of a review. [`Shared`] joins equal questions, [`Client`] asks them over HTTP,
//! and [`Fake`] answers in tests; client and fake pass the same [`conformance`] suite.

mod answer;
mod challenge;
mod client;
#[doc(hidden)]
pub mod conformance;
mod conversation;
mod credentials;
mod egress;
mod fake;
mod question;
mod shared;
#[doc(hidden)]
pub mod strangers;
mod token;
mod upstream;

pub use client::{BadProxy, Client, ClientError};
pub use credentials::{Asker, Candidates, CredentialsError, Format, Keychain, Keyring};
pub use fake::Fake;
pub use question::{LastKnown, Question, Role};
pub use shared::Shared;

use std::time::{Duration, Instant};

use crate::{
    image::{Digest, Reference},
    telemetry::outcome,
};

/// Answers what an image means at its registry.
pub trait Resolve: Send + Sync + 'static {
    /// The digest of the question's image at its registry: of its tag, or of its digest if it has one (then the answer
    /// is that the registry has it). It is the index digest of a multi-platform image, never one platform's.
    ///
    /// `deadline` bounds everything, token exchange included.
    fn resolve(&self, question: &Question<'_>, deadline: Instant)
    -> impl Future<Output = Result<Digest, Error>> + Send;

    /// What the registry said to the same question the last time it said anything, if that may still be used.
    fn last_known(&self, _question: &Question<'_>) -> Option<LastKnown> {
        None
    }
}

/// Why a registry gave no digest. The variants are told apart because different people must act.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// 404: the registry has no such image.
    #[error("{host} has no {image}")]
    NotFound {
        /// The registry.
        host: String,
        /// The image, as asked.
        image: String,
    },
    /// 401 or 403.
    #[error("{host} does not let Berth see {image} ({}): {}", if *.anonymous { "asked without credentials" } else { "with the configured credentials" }, "it does not exist, or credentials are missing or wrong")]
    Refused {
        /// The registry.
        host: String,
        /// The image, as asked.
        image: String,
        /// No credentials were sent.
        anonymous: bool,
    },
    /// 429.
    #[error("{host} limits the rate of requests")]
    TooMany {
        /// The registry.
        host: String,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// Connect, TLS, a broken connection, 5xx.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The registry.
        host: String,
        /// The cause, in words.
        reason: String,
    },
    /// The deadline passed.
    #[error("{host} gave no answer within {} ms", .limit.as_millis())]
    TimedOut {
        /// The registry.
        host: String,
        /// How long it had.
        limit: Duration,
    },
    /// It failed a moment ago, or asked to be left alone, and was not asked again.
    #[error("{host} {last}; Berth asks it again in {} s", .again_in.as_millis().div_ceil(1000).max(1))]
    Paused {
        /// The registry.
        host: String,
        /// What it did, in words that follow its name.
        last: String,
        /// When it will be asked again.
        again_in: Duration,
    },
    /// It answered, but not with what it was asked for: no manifest, no digest, a wrong digest.
    #[error("{host} gave an answer that cannot be trusted: {reason}")]
    Untrusted {
        /// The registry.
        host: String,
        /// What was wrong.
        reason: String,
    },
}

impl Error {
    /// What the failure proves about the image; no `_` arm, so that a new variant has to be decided.
    pub fn word(&self) -> Word {
        match self {
            Self::NotFound { .. } => Word::Missing,
            // Docker Hub answers 401 for a repository that does not exist.
            Self::Refused { host, anonymous, .. } if *anonymous && host == "docker.io" => Word::Missing,
            Self::Refused { .. }
            | Self::TooMany { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Paused { .. }
            | Self::Untrusted { .. } => Word::Silent,
        }
    }

    /// Whether it is the registry that fails, and not the image: then the last digest that it gave may stand in.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::TooMany { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Paused { .. } => true,
            Self::NotFound { .. } | Self::Refused { .. } | Self::Untrusted { .. } => false,
        }
    }

    fn not_found(image: &Reference) -> Self {
        Self::NotFound { host: image.host().to_owned(), image: image.to_string() }
    }

    fn refused(image: &Reference, anonymous: bool) -> Self {
        Self::Refused { host: image.host().to_owned(), image: image.to_string(), anonymous }
    }

    fn unreachable(image: &Reference, reason: String) -> Self {
        Self::Unreachable { host: image.host().to_owned(), reason }
    }

    fn timed_out(image: &Reference, limit: Duration) -> Self {
        Self::TimedOut { host: image.host().to_owned(), limit }
    }
}

impl<T> From<&Result<T, Error>> for outcome::Exchange {
    fn from(answer: &Result<T, Error>) -> Self {
        match answer {
            Ok(_) => Self::Found,
            Err(Error::NotFound { .. }) => Self::NotFound,
            Err(Error::Refused { .. }) => Self::Refused,
            Err(Error::TooMany { .. }) => Self::TooMany,
            Err(Error::Unreachable { .. }) => Self::Unreachable,
            Err(Error::TimedOut { .. }) => Self::TimedOut,
            Err(Error::Paused { .. }) => Self::Paused,
            Err(Error::Untrusted { .. }) => Self::Untrusted,
        }
    }
}

/// What a registry's answer proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// The image is there.
    Has,
    /// The image is not there.
    Missing,
    /// It could not be asked, or said nothing that proves anything.
    Silent,
}

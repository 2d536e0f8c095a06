//! Why a registry gave no digest, in words that say what to do.
//!
//! Where people read them, the words come after `berth: CONTAINER: not pinned:` and are cut at 119 characters: so the
//! registry stands first, what to do next, and what is known already, or long, last.

use std::time::Duration;

use crate::{image::Reference, telemetry::outcome};

/// Why a registry gave no digest. The variants are told apart because different people must act.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Berth may not connect to it, or to where it sends Berth: nothing was sent.
    #[error("{reason}")]
    NotAllowed {
        /// The registry.
        host: String,
        /// What to allow, and why it is not.
        reason: String,
    },
    /// No address, no connection, no TLS, a broken connection, 5xx.
    #[error("{host}: {reason}")]
    Unreachable {
        /// The registry.
        host: String,
        /// The cause, in words.
        reason: String,
    },
    /// The deadline passed.
    #[error("{host} gave no answer in {} ms: see if it is up", .limit.as_millis())]
    TimedOut {
        /// The registry.
        host: String,
        /// How long it had.
        limit: Duration,
    },
    /// 429.
    #[error("{host} limits requests: set a mirror or `pin.maxAge`{}", again(*.retry_after))]
    TooMany {
        /// The registry.
        host: String,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// 503 with `Retry-After`.
    #[error("{host} is too busy: see why{}", again(Some(*.retry_after)))]
    Busy {
        /// The registry.
        host: String,
        /// What `Retry-After` asked for.
        retry_after: Duration,
    },
    /// It failed a moment ago, or asked to be left alone, and was not asked again.
    #[error("{host}: {last}; it is asked again in {} s", .again_in.as_millis().div_ceil(1000).max(1))]
    Paused {
        /// The registry.
        host: String,
        /// What it did, in words without its name.
        last: String,
        /// When it will be asked again.
        again_in: Duration,
    },
    /// A provider of credentials gave none, and without them the registry lets nobody in.
    #[error("{host} wants credentials; their provider fails, so try it by hand: {provider}")]
    NoCredentials {
        /// The registry.
        host: String,
        /// The provider, and what it did.
        provider: String,
    },
    /// 401: it does not know who asks, or its token service does not.
    #[error("{host} {}: {image}", unauthorized(host, *.anonymous))]
    Unauthorized {
        /// The registry.
        host: String,
        /// The image, as asked.
        image: String,
        /// No credentials were sent.
        anonymous: bool,
    },
    /// It knows who asks, and does not let them pull: 403, or 401 although its token service took the credentials.
    #[error("{host} {}: {image}", forbidden(host, *.anonymous))]
    Forbidden {
        /// The registry.
        host: String,
        /// The image, as asked.
        image: String,
        /// No credentials were sent.
        anonymous: bool,
        /// Who sends none is refused, too.
        to_all: bool,
    },
    /// 401 to a token of its own token service, as invalid: their keys, names or clocks differ.
    #[error("{host} refuses its own token service's tokens: check keys and clocks of both")]
    TokenRefused {
        /// The registry.
        host: String,
    },
    /// 404: the registry has no such image.
    #[error("{host} has no such image: push it or correct the name: {image}")]
    NotFound {
        /// The registry.
        host: String,
        /// The image, as asked.
        image: String,
    },
    /// It answered, but not with what it was asked for: no manifest, no digest, a wrong digest.
    #[error("{host} gave a bad answer (check it, and proxies): {reason}")]
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
            Self::Unauthorized { host, anonymous: true, .. } | Self::Forbidden { host, to_all: true, .. }
                if hides_absence(host) =>
            {
                Word::Missing
            }
            Self::NotAllowed { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::TooMany { .. }
            | Self::Busy { .. }
            | Self::Paused { .. }
            | Self::NoCredentials { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::TokenRefused { .. }
            | Self::Untrusted { .. } => Word::Silent,
        }
    }

    /// Whether somebody else may be let in.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::TokenRefused { .. })
    }

    /// Whether it is the registry that fails, or the way to it, and not the image: then the last digest that it gave may stand in.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::TooMany { .. }
            | Self::Busy { .. }
            | Self::Paused { .. }
            | Self::NoCredentials { .. } => true,
            Self::NotAllowed { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::TokenRefused { .. }
            | Self::NotFound { .. }
            | Self::Untrusted { .. } => false,
        }
    }

    /// The same, told to somebody who calls the image by this name: others may have asked for it by another one.
    pub(super) fn about(mut self, asked: &Reference) -> Self {
        if let Self::Unauthorized { image, .. } | Self::Forbidden { image, .. } | Self::NotFound { image, .. } =
            &mut self
        {
            *image = asked.to_string();
        }
        self
    }

    /// Its words without the name of `host`, with which they begin.
    pub(super) fn without(&self, host: &str) -> String {
        let words = self.to_string();
        words.strip_prefix(host).map_or(&*words, |rest| rest.trim_start_matches([':', ' '])).to_owned()
    }

    pub(super) fn not_allowed(image: &Reference, reason: String) -> Self {
        Self::NotAllowed { host: image.host().to_owned(), reason }
    }

    pub(super) fn unreachable(image: &Reference, reason: String) -> Self {
        Self::Unreachable { host: image.host().to_owned(), reason }
    }

    pub(super) fn timed_out(image: &Reference, limit: Duration) -> Self {
        Self::TimedOut { host: image.host().to_owned(), limit }
    }

    pub(super) fn no_credentials(image: &Reference, provider: String) -> Self {
        Self::NoCredentials { host: image.host().to_owned(), provider }
    }

    pub(super) fn unauthorized(image: &Reference, anonymous: bool) -> Self {
        Self::Unauthorized { host: image.host().to_owned(), image: image.to_string(), anonymous }
    }

    pub(super) fn forbidden(image: &Reference, anonymous: bool) -> Self {
        Self::Forbidden { host: image.host().to_owned(), image: image.to_string(), anonymous, to_all: anonymous }
    }

    /// The same, where whoever sends no credentials was refused as well.
    pub(super) fn refusing_all(mut self) -> Self {
        if let Self::Forbidden { to_all, .. } = &mut self {
            *to_all = true;
        }
        self
    }

    pub(super) fn not_found(image: &Reference) -> Self {
        Self::NotFound { host: image.host().to_owned(), image: image.to_string() }
    }

    pub(super) fn untrusted(image: &Reference, reason: String) -> Self {
        Self::Untrusted { host: image.host().to_owned(), reason }
    }
}

/// Whether strangers are told 401 there for what does not exist, too: Docker Hub does so.
fn hides_absence(host: &str) -> bool {
    host == "docker.io"
}

fn unauthorized(host: &str, anonymous: bool) -> &'static str {
    match (anonymous, hides_absence(host)) {
        (true, true) => "has no such image, or it is private: correct the name or add `credentials`",
        (true, false) => "wants credentials: add them to `credentials`",
        (false, _) => "takes none of the credentials: renew them",
    }
}

fn forbidden(host: &str, anonymous: bool) -> &'static str {
    match (anonymous, hides_absence(host)) {
        (true, _) => unauthorized(host, true),
        (false, true) => "has no such image, or not for this account: check both",
        (false, false) => "forbids it: let the account pull this image",
    }
}

fn again(after: Option<Duration>) -> String {
    after.map_or_else(String::new, |after| format!("; it asks for {} s of rest", after.as_secs()))
}

impl<T> From<&Result<T, Error>> for outcome::Exchange {
    fn from(answer: &Result<T, Error>) -> Self {
        match answer {
            Ok(_) => Self::Found,
            Err(Error::NotAllowed { .. }) => Self::NotAllowed,
            Err(Error::Unreachable { .. } | Error::Busy { .. }) => Self::Unreachable,
            Err(Error::TimedOut { .. }) => Self::TimedOut,
            Err(Error::TooMany { .. }) => Self::TooMany,
            Err(Error::Paused { .. }) => Self::Paused,
            Err(Error::NoCredentials { .. }) => Self::NoCredentials,
            Err(Error::Unauthorized { .. } | Error::TokenRefused { .. }) => Self::Unauthorized,
            Err(Error::Forbidden { .. }) => Self::Forbidden,
            Err(Error::NotFound { .. }) => Self::NotFound,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, make: fn(&Reference, bool) -> Error, anonymous: bool, text: &str, word: Word) {
        let image: Reference = image.parse().unwrap();
        let error = make(&image, anonymous);
        assert_eq!((error.to_string(), error.word()), (format!("{text}: {image}"), word));
    }

    #[test]
    fn who_may_not_pull_is_told_why_and_absence_is_proven_at_docker_hub_only() {
        let (hub, other) = ("nginx:1", "reg.example/app:v1");
        let asks = "reg.example wants credentials: add them to `credentials`";
        let hidden = "docker.io has no such image, or it is private: correct the name or add `credentials`";
        for make in [Error::unauthorized, Error::forbidden] {
            check(other, make, true, asks, Word::Silent);
            check(hub, make, true, hidden, Word::Missing);
        }
        let renew = "takes none of the credentials: renew them";
        check(other, Error::unauthorized, false, &format!("reg.example {renew}"), Word::Silent);
        check(hub, Error::unauthorized, false, &format!("docker.io {renew}"), Word::Silent);
        let right = "reg.example forbids it: let the account pull this image";
        check(other, Error::forbidden, false, right, Word::Silent);
        let both = "docker.io has no such image, or not for this account: check both";
        check(hub, Error::forbidden, false, both, Word::Silent);
        // An account that Docker Hub knows, and a stranger: between them they have been told.
        check(hub, |image, anonymous| Error::forbidden(image, anonymous).refusing_all(), false, both, Word::Missing);
        check(other, |image, anonymous| Error::forbidden(image, anonymous).refusing_all(), false, right, Word::Silent);
        let known = |image: &Reference, anonymous| Error::unauthorized(image, anonymous).refusing_all();
        check(hub, known, false, &format!("docker.io {renew}"), Word::Silent);
    }
}

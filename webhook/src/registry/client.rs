//! The client: what it keeps between questions, and whom it asks as.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time;

use super::{
    Error, Question, Resolve,
    conversation::Conversation,
    health::Health,
    token::Grants,
    upstream::{Upstream, Upstreams},
};
pub use super::{egress::BadProxy, upstream::ClientError};
use crate::{config::Config, image::Digest, telemetry::Metrics};

/// Asks registries over HTTP.
///
/// # Source
/// OCI Distribution Specification 1.1; `distribution/distribution`, "Token Authentication Specification".
#[derive(Debug)]
pub struct Client {
    upstreams: Upstreams,
    grants: Grants,
    health: Health,
    /// Longest time for one question.
    limit: Duration,
    metrics: Arc<Metrics>,
}

impl Client {
    /// A client for the registries and mirrors of `config`; reads the files that it names.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self, ClientError> {
        Ok(Self {
            upstreams: Upstreams::new(config)?,
            grants: Grants::new(),
            health: Health::new(metrics.clone()),
            limit: config.limits.registry_timeout,
            metrics,
        })
    }

    /// Asks with every credential that matches, then with none: the kubelet's order. Whoever knows credentials is
    /// waited for until `patience`.
    async fn ask(
        &self,
        question: &Question<'_>,
        upstream: Upstream<'_>,
        patience: time::Instant,
    ) -> Result<Digest, Error> {
        let image = question.image;
        let path = image.path();
        let conversation =
            Conversation { image, path: &path, upstream, upstreams: &self.upstreams, grants: &self.grants };
        let (mut refused, mut unanswered) = (None, None);
        for candidate in question.candidates.iter() {
            let credentials = match candidate.credentials(patience).await {
                Ok(credentials) => credentials,
                Err(why) => {
                    unanswered.get_or_insert(why);
                    continue;
                }
            };
            for credential in credentials.iter() {
                match conversation.ask(Some(credential)).await {
                    Err(error) if may_be_there(&error) => {
                        refused.get_or_insert(error); // that of the best match says most
                    }
                    answer => return answer,
                }
            }
        }
        // Whom a registry lets in and shows nothing sees no less than a stranger.
        if let (Some(missing @ Error::NotFound { .. }), None) = (&refused, &unanswered) {
            return Err(missing.clone());
        }
        match conversation.ask(None).await {
            // Strangers may be told anything.
            Err(error) if may_be_there(&error) => Err(match (unanswered, refused) {
                (Some(why), _) => Error::no_credentials(image, why.to_string()),
                (None, Some(refused)) if error.is_denial() => refused.refusing_all(),
                (None, refused) => refused.unwrap_or(error),
            }),
            answer => answer,
        }
    }
}

impl Resolve for Client {
    async fn resolve(&self, question: &Question<'_>, deadline: Instant) -> Result<Digest, Error> {
        let image = question.image;
        let upstream =
            self.upstreams.of(image.host()).map_err(|refusal| Error::not_allowed(image, refusal.to_string()))?;
        let start = time::Instant::now();
        let limit = deadline.saturating_duration_since(start.into_std()).min(self.limit);
        let end = start + limit;
        let timed_out = || Err(Error::timed_out(image, limit));
        if limit.is_zero() {
            return timed_out();
        }
        let mut took = None;
        let answer = match time::timeout_at(end, self.health.turn(question)).await {
            Ok(Ok(turn)) => {
                let asked = time::Instant::now();
                let patience = asked + end.saturating_duration_since(asked).mul_f32(FOR_CREDENTIALS);
                // Boxed: thousands may wait for their turn, and none of them needs room for a conversation yet.
                let answer = time::timeout_at(end, Box::pin(self.ask(question, upstream, patience))).await;
                let answer = answer.unwrap_or_else(|_| timed_out());
                took = Some(asked.elapsed());
                turn.end(&answer);
                answer
            }
            Ok(Err(paused)) => Err(paused),
            Err(_) => timed_out(),
        };
        self.metrics.registries.request(image.host(), (&answer).into(), took);
        answer
    }
}

/// Whether somebody else may find it: some registries say "not found" of what one may not see.
fn may_be_there(error: &Error) -> bool {
    error.is_denial() || matches!(error, Error::NotFound { .. })
}

/// Share of a question's time in which credentials must be known; the rest is for asking with others, or with none.
const FOR_CREDENTIALS: f32 = 0.75;

#[cfg(test)]
mod tests;

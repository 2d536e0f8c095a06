//! The client: what it keeps between questions, and whom it asks as.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time;

use super::{Error, Question, Resolve, conversation::Conversation, token::Grants, upstream::Upstreams};
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
            limit: config.limits.registry_timeout,
            metrics,
        })
    }

    /// Asks with every credential that matches, then with none: the kubelet's order.
    async fn ask(&self, question: &Question<'_>) -> Result<Digest, Error> {
        let image = question.image;
        let path = image.path();
        let upstream =
            self.upstreams.of(image.host()).map_err(|refusal| Error::not_allowed(image, refusal.to_string()))?;
        let conversation =
            Conversation { image, path: &path, upstream, upstreams: &self.upstreams, grants: &self.grants };
        let credentials = question.candidates.iter().map(Some);
        let mut denied = None;
        for credential in credentials.chain([None]) {
            match conversation.ask(credential).await {
                Err(error @ (Error::Unauthorized { .. } | Error::Forbidden { .. })) => {
                    denied.get_or_insert(error); // that of the best match says most
                }
                answer => return answer,
            }
        }
        Err(denied.unwrap_or_else(|| Error::unauthorized(image, true)))
    }
}

impl Resolve for Client {
    async fn resolve(&self, question: &Question<'_>, deadline: Instant) -> Result<Digest, Error> {
        let image = question.image;
        let start = time::Instant::now();
        let limit = deadline.saturating_duration_since(start.into_std()).min(self.limit);
        let timed_out = || Err(Error::timed_out(image, limit));
        if limit.is_zero() {
            return timed_out();
        }
        let answer = time::timeout(limit, self.ask(question)).await.unwrap_or_else(|_| timed_out());
        self.metrics.registry_request(image.host(), (&answer).into(), start.elapsed());
        answer
    }
}

#[cfg(test)]
mod tests;

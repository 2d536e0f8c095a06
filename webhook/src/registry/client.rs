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

    /// Asks with every credential that matches, then with none: the kubelet's order.
    async fn ask(&self, question: &Question<'_>, upstream: Upstream<'_>) -> Result<Digest, Error> {
        let image = question.image;
        let path = image.path();
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
                let answer = time::timeout_at(end, self.ask(question, upstream)).await.unwrap_or_else(|_| timed_out());
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

#[cfg(test)]
mod tests;

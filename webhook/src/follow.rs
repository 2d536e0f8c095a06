//! Following objects at the API server: what all watches of Berth share.

use std::{fmt::Debug, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use kube::{
    Api, Client, Resource,
    client::Body,
    runtime::{WatchStreamExt as _, utils::Backoff, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use tower::{BoxError, service_fn};
use tracing::{debug, warn};

use crate::telemetry::Metrics;

/// Folds all news of a kind of object, for ever: whatever fails is logged, counted and tried again within a second or
/// so, because an API server that is back should be heard of at once.
pub(crate) async fn follow<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    metrics: &Metrics,
    fold: impl FnMut(watcher::Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    follow_or_lose(kind, api, config, metrics, fold, || ()).await;
}

/// The same, and says where the API server answered that it cannot tell what has changed (410): what was heard last was
/// no news then, and all will be listed anew.
pub(crate) async fn follow_or_lose<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    metrics: &Metrics,
    mut fold: impl FnMut(watcher::Event<K>),
    mut lost: impl FnMut(),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config { timeout: Some(WATCH_SECONDS), ..config };
    let mut events = pin!(watcher(api, config).backoff(Pauses::default()));
    let mut told: Option<Instant> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => fold(event),
            Err(error) => {
                if matches!(error, watcher::Error::WatchError(_)) {
                    lost();
                }
                metrics.watch_failed(kind);
                if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                    told = Some(Instant::now());
                    warn!(kind, %error, "a watch broke off and will be taken up again");
                } else {
                    debug!(kind, %error, "a watch broke off again");
                }
            }
        }
    }
}

/// Time between failures and new attempts: doubled from one to the next of a series, up to a second.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
    last: Option<Instant>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() >= CALM) {
            self.failures = 0;
        }
        let pause = SHORTEST_PAUSE.saturating_mul(1 << self.failures.min(DOUBLED));
        (self.failures, self.last) = (self.failures.saturating_add(1), Some(Instant::now()));
        Some(pause)
    }
}

impl Backoff for Pauses {
    /// Called at each sign of life, which a list is before it was answered: the time without failures counts instead.
    fn reset(&mut self) {}
}

/// A client like `client` that gives up where the API server is silent, and calls `heard` when it is not: for each part
/// of a body, and for its end. That a watch could be begun is no news.
///
/// A connection whose other end has vanished stays silent without an error. Even where nothing happens, a watch ends
/// and is taken up again before the silence counts, and bookmarks come once a minute.
pub(crate) fn attentive(client: Client, heard: impl Fn() + Clone + Send + Sync + 'static) -> Client {
    let namespace = client.default_namespace().to_owned();
    let call = move |request: Request<Body>| {
        let (client, heard) = (client.clone(), heard.clone());
        async move {
            let response = timeout(SILENCE, client.send(request)).await??;
            let heard = response.status().is_success().then_some(heard);
            Ok::<_, BoxError>(response.map(|body| listening(body, heard)))
        }
    };
    Client::new(service_fn(call), namespace)
}

/// `body`, ended by an error where it is silent for too long.
fn listening(
    body: Body,
    heard: Option<impl Fn() + Send + 'static>,
) -> impl hyper::body::Body<Data = Bytes, Error = BoxError> + Send {
    let frames = stream::unfold(Some((body, heard)), async |state| {
        let (mut body, heard) = state?;
        match timeout(SILENCE, body.frame()).await {
            Ok(frame) => {
                if let Some(heard) = heard.as_ref().filter(|_| !matches!(frame, Some(Err(_)))) {
                    heard();
                }
                Some((frame?.map_err(BoxError::from), Some((body, heard))))
            }
            Err(silent) => Some((Err(silent.into()), None)),
        }
    });
    StreamBody::new(frames)
}

/// How long the API server lets a watch run, seconds.
pub(crate) const WATCH_SECONDS: u32 = 60;
/// Silence after which a connection counts as dead: longer than a watch without news.
const SILENCE: Duration = Duration::from_secs(75);
const SHORTEST_PAUSE: Duration = Duration::from_millis(125);
/// Three times doubled, it is a second.
const DOUBLED: u32 = 3;
/// A failure after this long without one is the first of a series.
const CALM: Duration = Duration::from_secs(30);
/// Time between two lines of the log about the same watch.
const TELL_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
pub(crate) mod fake;

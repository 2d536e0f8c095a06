//! Following objects at the API server: what all watches of Berth share.

use std::{fmt::Debug, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use kube::{
    Api, Client, Resource,
    client::Body,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tower::{BoxError, service_fn};
use tracing::warn;

use crate::telemetry::Metrics;

/// Folds all news of a kind of object, for ever: whatever fails is logged, counted and tried again, ever more slowly.
pub(crate) async fn follow<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    metrics: &Metrics,
    mut fold: impl FnMut(watcher::Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config { timeout: Some(WATCH_SECONDS), ..config };
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => fold(event),
            Err(error) => {
                metrics.watch_failed(kind);
                warn!(kind, %error, "a watch broke off and will be taken up again");
            }
        }
    }
}

/// A client like `client` that gives up where the API server is silent, and calls `heard` when it is not.
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
            if let Some(heard) = &heard {
                heard();
            }
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
                if let Some(heard) = &heard {
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

#[cfg(test)]
pub(crate) mod fake;

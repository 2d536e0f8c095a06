//! A scripted API server: every request takes the next reply, and hangs where there is none.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time;
use tower::{BoxError, service_fn};

/// What the server does with one request.
pub(crate) enum Reply {
    /// Answers with a status and a body.
    Json(u16, Value),
    /// Answers with events, then does something with the connection.
    Watch(Vec<Value>, End),
    /// The connection cannot be made.
    Refused,
    /// Nothing, ever.
    Silence,
}

/// How a watch ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// The server closes it, as it does after `timeoutSeconds`.
    Close,
    /// The connection breaks.
    Break,
    /// The connection stays and nothing comes.
    Silence,
}

/// The server, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self { replies: Arc::new(Mutex::new(replies.into_iter().collect())), ..Self::default() }
    }

    /// Further replies.
    pub(crate) fn reply(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    /// What was still to be replied is not.
    pub(crate) fn forget_replies(&self) {
        self.replies.lock().unwrap().clear();
    }

    /// `METHOD /path?query` of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }

    /// The bodies of the requests so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.asked.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        Client::new(service_fn(move |request| server.clone().answer(request)), "default")
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError> {
        let line = format!("{} {}", request.method(), request.uri());
        let body = request.into_body().collect().await?.to_bytes();
        self.asked.lock().unwrap().push((line, serde_json::from_slice(&body).unwrap_or_default()));
        let reply = self.replies.lock().unwrap().pop_front();
        let (status, lines, end) = match reply {
            Some(Reply::Json(status, body)) => (status, vec![body], End::Close),
            Some(Reply::Watch(events, end)) => (200, events, end),
            Some(Reply::Refused) => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            Some(Reply::Silence) | None => std::future::pending().await,
        };
        let lines = lines.into_iter().map(|line| Ok(Frame::data(Bytes::from(format!("{line}\n")))));
        let last = stream::once(async move {
            match end {
                End::Close => None,
                End::Break => Some(Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset)))),
                End::Silence => std::future::pending().await,
            }
        });
        let body = StreamBody::new(stream::iter(lines).chain(last.filter_map(async |end| end)));
        Ok(Response::builder().status(status).body(body.boxed_unsync())?)
    }
}

/// A page of a list; `rest` is the token for the next one.
pub(crate) fn page(items: &[Value], rest: &str) -> Reply {
    Reply::Json(200, json!({ "metadata": { "resourceVersion": "10", "continue": rest }, "items": items }))
}

/// An event of a watch.
pub(crate) fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

/// Waits, in stopped time, until `condition` holds.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let turns = async {
            while !condition() {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(time::timeout(Duration::from_secs(600), turns).await.is_ok(), "not within 10 min, {caller}");
    }
}

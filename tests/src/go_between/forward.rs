//! One request, there and back.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, future, stream};
use http::{Method, StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{Manner, Moment, Shared, Write};
use crate::lock::locked;

/// Takes requests until it is dropped; then all connections break.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let service = TowerToHyperService::new(Router::new().fallback(take).with_state(shared));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let answer =
        if *request.method() == Method::GET { read(&shared, request).await } else { write(&shared, request).await };
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

/// A write, which may be the last that the program sees off.
async fn write(shared: &Shared, request: Request) -> anyhow::Result<Response> {
    let path = request.uri().path().to_owned();
    if !shared.counted.iter().any(|counted| path.contains(counted)) {
        return whole(send(shared, request).await?).await;
    }
    // The sender lives as long as `shared`.
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    let what = format!("{} {}", request.method(), short(&path));
    let trap = shared.sprung();
    if let Some(trap) = trap.filter(|trap| trap.moment == Moment::Before) {
        trap.spring();
        locked(&shared.writes).push(Write { what, status: None });
        return future::pending().await;
    }
    let answer = send(shared, request).await?;
    locked(&shared.writes).push(Write { what, status: Some(answer.status().as_u16()) });
    if let Some(trap) = trap {
        trap.spring();
        return future::pending().await;
    }
    whole(answer).await
}

async fn read(shared: &Arc<Shared>, request: Request) -> anyhow::Result<Response> {
    let line = request.uri().to_string();
    let manner = *shared.manner.borrow();
    let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    if watch {
        thawed(shared, &line).await;
        let answer = send(shared, request).await?;
        let (status, kind) = (answer.status(), kind(&answer));
        return Ok((status, kind, Body::from_stream(news(shared.clone(), line, answer))).into_response());
    }
    if matches!(manner, Manner::Frozen(what) if line.contains(what))
        && let Some((status, body)) = locked(&shared.memory).repeat(&line)
    {
        return Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response());
    }
    let answer = send(shared, request).await?;
    let (status, kind, body) = (answer.status(), kind(&answer), answer.bytes().await?);
    locked(&shared.memory).keep(&line, status, &body);
    if let Manner::Late(by) = manner {
        sleep(by).await;
    }
    Ok((status, kind, body).into_response())
}

/// The news of a watch, piece by piece, as late as it is to be.
fn news(
    shared: Arc<Shared>,
    line: String,
    answer: reqwest::Response,
) -> impl Stream<Item = reqwest::Result<Bytes>> + Send {
    // What has come, and when it is told. None: the API server has ended it.
    let state = (Some(answer), VecDeque::<(Instant, Bytes)>::new());
    stream::unfold((shared, line, state), async |(shared, line, (mut answer, mut come))| {
        while answer.is_some() || !come.is_empty() {
            thawed(&shared, &line).await;
            let late = match *shared.manner.borrow() {
                Manner::Late(by) => by,
                Manner::Honest | Manner::Frozen(_) => Duration::ZERO,
            };
            let due = come.front().map(|(at, _)| *at);
            tokio::select! {
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let (_, piece) = come.pop_front()?;
                    return Some((Ok(piece), (shared, line, (answer, come))));
                }
                piece = next(&mut answer) => match piece {
                    Ok(Some(piece)) => come.push_back((Instant::now() + late, piece)),
                    Ok(None) => answer = None,
                    Err(error) => return Some((Err(error), (shared, line, (None, VecDeque::new())))),
                },
            }
        }
        None
    })
}

/// The next piece; where the API server has ended the answer, none, and then never anything.
async fn next(answer: &mut Option<reqwest::Response>) -> reqwest::Result<Option<Bytes>> {
    match answer {
        Some(answer) => answer.chunk().await,
        None => future::pending().await,
    }
}

/// Waits until what `line` is about is not frozen.
async fn thawed(shared: &Shared, line: &str) {
    let mut manner = shared.manner.subscribe();
    let frozen = |manner: &Manner| matches!(manner, Manner::Frozen(what) if line.contains(what));
    // The sender lives as long as `shared`.
    let _ = manner.wait_for(|manner| !frozen(manner)).await;
}

async fn send(shared: &Shared, request: Request) -> anyhow::Result<reqwest::Response> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await?;
    let mut sent = shared.http.request(parts.method, format!("{}{}", shared.server, parts.uri)).body(body);
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = parts.headers.get(&name) {
            sent = sent.header(name, value);
        }
    }
    Ok(sent.send().await?)
}

async fn whole(answer: reqwest::Response) -> anyhow::Result<Response> {
    let (status, kind) = (answer.status(), kind(&answer));
    Ok((status, kind, answer.bytes().await?).into_response())
}

fn kind(answer: &reqwest::Response) -> [(header::HeaderName, String); 1] {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    [(header::CONTENT_TYPE, kind.unwrap_or("application/json").to_owned())]
}

/// The path from the resource on: `secrets/berth-ca`.
fn short(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let resource = parts.iter().position(|part| *part == "namespaces").map_or(3, |at| at + 2);
    parts.get(resource..).unwrap_or_default().join("/")
}

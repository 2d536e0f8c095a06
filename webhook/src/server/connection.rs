//! HTTP on one connection.

mod bodies;
mod http1;

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, Version, header};
use hyper::{
    body::Incoming,
    server::conn::http2,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, ServiceExt as _};

use self::bodies::{Outgoing, Taken, Unanswered};
use super::{callers::Peer, pace::Pace, paced::Paced};
use crate::admission::Caller;

/// What is spoken, as negotiated in the TLS handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// What API servers speak to Services.
    Http1,
    /// What they speak to loopback addresses.
    Http2,
}

impl Protocol {
    /// The protocol that ALPN chose; HTTP/1.1 where nothing was.
    pub fn negotiated(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(ALPN_HTTP2) { Self::Http2 } else { Self::Http1 }
    }
}

/// How a request came; an extension of the request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When its first byte came, or for HTTP/2 its header.
    pub began: Instant,
    /// The connection's.
    pub pace: Arc<Pace>,
    /// Who is at the other end, when the request came.
    pub caller: Caller,
}

/// Serves until the peer closes, is too slow, or has had its answer with `Connection: close`, which is on every
/// answer once `stop` is cancelled. An idle connection is never closed for `stop`: a request may be on its way.
pub async fn serve<IO>(
    io: IO,
    protocol: Protocol,
    peer: Peer,
    router: Router,
    pace: Arc<Pace>,
    stop: CancellationToken,
) -> Result<(), BoxError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let (pace, stop) = (pace.clone(), stop.clone());
        move |request| Box::pin(answer(request, peer.clone(), router.clone(), pace.clone(), stop.clone()))
    };
    match protocol {
        Protocol::Http1 => http1::serve(Paced::http1(io, pace.clone()), service_fn(service), &pace).await,
        // In a box of its own: few connections are of this kind, and the others shall not hold room for it.
        Protocol::Http2 => Box::pin(http2(Paced::http2(io, pace, Instant::now()), service_fn(service), stop)).await,
    }
}

async fn http2<IO, S>(io: Paced<IO>, service: S, stop: CancellationToken) -> Result<(), BoxError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Outgoing>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(HTTP2_HEADERS)
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_LIMIT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(), // GOAWAY; streams go on
    }
    Ok(connection.await?)
}

async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    router: Router,
    pace: Arc<Pace>,
    stop: CancellationToken,
) -> Result<Response<Outgoing>, Infallible> {
    let (began, unanswered) = Unanswered::new(pace.clone(), Instant::now());
    let version = request.version();
    let mut request = request.map(|body| Body::new(Taken::new(body, pace.clone())));
    request.extensions_mut().insert(Arrival { began, pace, caller: peer.caller(SystemTime::now()) });
    let mut response = router.oneshot(request).await?;
    if stop.is_cancelled() && version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Outgoing::new(body, unanswered)))
}

/// The protocols offered in the handshake, best first.
pub(super) const ALPN: [&[u8]; 2] = [ALPN_HTTP2, b"http/1.1"];
const ALPN_HTTP2: &[u8] = b"h2";
const HTTP2_STREAMS: u32 = 250;
/// Bytes.
const HTTP2_HEADERS: u32 = 16 * 1024;
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
const HTTP2_PING_LIMIT: Duration = Duration::from_secs(10);

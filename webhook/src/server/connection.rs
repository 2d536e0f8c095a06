//! HTTP on one connection.

use std::{
    convert::Infallible,
    error,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, response::Response};
use http::{HeaderValue, Request, Version, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    callers::Peer,
    pace::{Pace, Paced},
};
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
) -> Result<(), Box<dyn error::Error + Send + Sync>>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let (pace, stop) = (pace.clone(), stop.clone());
        service_fn(move |request| answer(request, peer.clone(), router.clone(), pace.clone(), stop.clone()))
    };
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(Paced::http1(io, pace));
            let mut builder = http1::Builder::new();
            builder.header_read_timeout(None).max_buf_size(HTTP1_BUFFER);
            Ok(builder.serve_connection(io, service).await?)
        }
        Protocol::Http2 => {
            let io = TokioIo::new(Paced::http2(io, Instant::now()));
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(HTTP2_STREAMS)
                .max_header_list_size(HTTP2_HEADERS)
                .keep_alive_interval(HTTP2_PING_EVERY)
                .keep_alive_timeout(HTTP2_PING_LIMIT);
            let mut connection = pin!(builder.serve_connection(io, service));
            tokio::select! {
                ended = connection.as_mut() => return Ok(ended?),
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(), // GOAWAY; streams go on
            }
            Ok(connection.await?)
        }
    }
}

async fn answer(
    mut request: Request<Incoming>,
    peer: Peer,
    router: Router,
    pace: Arc<Pace>,
    stop: CancellationToken,
) -> Result<Response, Infallible> {
    let began = pace.header_complete(Instant::now());
    let version = request.version();
    request.extensions_mut().insert(Arrival { began, pace: pace.clone(), caller: peer.caller(SystemTime::now()) });
    let mut response = router.oneshot(request).await?;
    if stop.is_cancelled() && version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    pace.answered(Instant::now());
    Ok(response)
}

/// The protocols offered in the handshake, best first.
pub(super) const ALPN: [&[u8]; 2] = [ALPN_HTTP2, b"http/1.1"];
const ALPN_HTTP2: &[u8] = b"h2";
/// Bytes; bounds the header, what of a body is read ahead, and what an idle connection holds. API servers send 400.
const HTTP1_BUFFER: usize = 8 * 1024;
const HTTP2_STREAMS: u32 = 250;
/// Bytes.
const HTTP2_HEADERS: u32 = 16 * 1024;
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
const HTTP2_PING_LIMIT: Duration = Duration::from_secs(10);

//! HTTP/1.1 on one connection.
//!
//! API servers keep connections open that are idle nearly all the time, and hyper holds 16 KiB for each. So its part of
//! a connection is made when a request begins to come, and taken apart when the answer is sent.

use std::{convert::Infallible, future::poll_fn, pin::Pin, task::Poll};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::http1::{Builder, Connection, Parts},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tower::BoxError;

use super::bodies::Outgoing;
use crate::server::{pace::Pace, paced::Paced};

/// Serves one request after the other, until there are no more to come.
pub(super) async fn serve<IO, S>(mut io: Paced<IO>, mut service: S, pace: &Pace) -> Result<(), BoxError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<Outgoing>, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    while io.readable().await? {
        let mut connection = Builder::new();
        connection.header_read_timeout(None).max_buf_size(BUFFER);
        let connection = connection.serve_connection(TokioIo::new(io), service);
        let (parts, more) = Box::pin(until_idle(connection, pace)).await?;
        io = parts.io.into_inner();
        if !more {
            break;
        }
        io.put_back(parts.read_buf);
        service = parts.service;
    }
    Ok(io.shutdown().await?)
}

/// Serves until nothing is under way, and gives the connection back; with it, whether more requests may come.
async fn until_idle<IO, S>(
    mut connection: Connection<TokioIo<Paced<IO>>, S>,
    pace: &Pace,
) -> hyper::Result<(Parts<TokioIo<Paced<IO>>, S>, bool)>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<Outgoing>, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    let ended = poll_fn(|context| match connection.poll_without_shutdown(context) {
        Poll::Pending if pace.between_requests() => Poll::Ready(None),
        polled => polled.map(Some),
    });
    let ended = ended.await;
    let more = ended.is_none();
    if let Some(ended) = ended {
        ended?;
    } else {
        // hyper ends what is idle at once, and between two requests it is.
        Pin::new(&mut connection).graceful_shutdown();
        poll_fn(|context| connection.poll_without_shutdown(context)).await?;
    }
    Ok((connection.into_parts(), more))
}

/// Bytes; bounds the header, and what of a body is read ahead. API servers send 400.
const BUFFER: usize = 8 * 1024;

//! One connection of the proxy: where it stalls, breaks and dribbles.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::server::TlsStream;

use super::{
    Fault, Shared,
    answer::{answer, without_digest},
    message::{Answer, Request, read_request},
    record::Heard,
};
use crate::lock::locked;

/// Serves `stream` until either end has enough of it.
pub(super) async fn serve(stream: TcpStream, number: usize, shared: Arc<Shared>) {
    let _open = shared.record.opened();
    // That a connection breaks is what this is about.
    let _ = serve_until_it_breaks(stream, number, &shared).await;
}

async fn serve_until_it_breaks(mut stream: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    let fault = locked(&shared.manner).fault_of(number);
    match fault {
        Fault::BlackHole | Fault::Unreachable => return stall(&mut stream).await,
        Fault::ResetConnection => return reset(&stream),
        _ => {}
    }
    match &shared.tls {
        Some(tls) => requests(tls.accept(stream).await?, number, shared).await,
        None => requests(stream, number, shared).await,
    }
}

async fn requests(mut stream: impl Wire, number: usize, shared: &Shared) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        let heard = Heard {
            connection: number,
            method: request.method.to_string(),
            path: request.path.clone(),
            headers: request.headers.clone(),
        };
        let which = shared.record.heard(heard);
        let manner = locked(&shared.manner).clone();
        let fault = manner.fault_of(number);
        match fault {
            Fault::BlackHole | Fault::Unreachable | Fault::StallAnswer => return stall(&mut stream).await,
            Fault::Refuse | Fault::ResetConnection => return reset(stream.socket()),
            _ => {}
        }
        sleep(manner.delay / 2).await; // on the way there; and on the way back what is known gets old
        let answer = answer(shared, &request, &fault, which).await;
        sleep(manner.delay / 2).await;
        let answer = if manner.without_digest { without_digest(answer) } else { answer };
        deliver(&mut stream, &request, &answer, &fault).await?;
    }
    Ok(())
}

/// Sends the answer, or what `fault` lets through.
async fn deliver(stream: &mut impl Wire, request: &Request, answer: &Answer, fault: &Fault) -> io::Result<()> {
    let (head, body) = (answer.head(&request.method), answer.body(&request.method));
    let whole = [head.as_slice(), &body].concat();
    // The middle of the headers is after the status, the middle of the body before its last byte.
    let in_headers = whole.get(..head.len() / 2).unwrap_or_default();
    let in_body = whole.get(..whole.len() - body.len().div_ceil(2)).unwrap_or_default();
    match fault {
        Fault::StallHeaders => {
            send(stream, in_headers).await?;
            stall(stream).await
        }
        Fault::StallBody if !body.is_empty() => {
            send(stream, in_body).await?;
            stall(stream).await
        }
        Fault::ResetHeaders => {
            send(stream, in_headers).await?;
            reset(stream.socket())
        }
        Fault::ResetBody if !body.is_empty() => {
            send(stream, in_body).await?;
            reset(stream.socket())
        }
        Fault::Trickle => {
            for byte in whole {
                send(stream, &[byte]).await?;
                sleep(TRICKLE).await;
            }
            Ok(())
        }
        Fault::EndlessBody if !body.is_empty() => endless(stream, &head, &body).await,
        _ => send(stream, &whole).await,
    }
}

/// The body again and again, in chunks.
async fn endless(stream: &mut impl Wire, head: &[u8], body: &[u8]) -> io::Result<()> {
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with("content-length:"));
    let lines = lines.chain(["transfer-encoding: chunked", "", ""]).collect::<Vec<_>>().join("\r\n");
    send(stream, lines.as_bytes()).await?;
    let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
    loop {
        send(stream, &chunk).await?;
    }
}

async fn send(stream: &mut impl Wire, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Says nothing until the other end closes.
async fn stall(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// The other end gets RST as soon as the stream is dropped, which the error leads to.
fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()?;
    Err(io::ErrorKind::ConnectionReset.into())
}

/// A connection, with or without TLS.
trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// The connection below.
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Between two bytes.
const TRICKLE: Duration = Duration::from_secs(1);

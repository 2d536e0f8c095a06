//! The server as its peers see it. The clock is paused: minutes pass in milliseconds.

mod connections;
mod crowds;
mod ports;
mod reviews;
mod sequences;

use axum::routing::get;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: berth\r\n\r\n";

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A connection without TLS, served by `router` in `tasks`.
fn connect(tasks: &mut JoinSet<()>, router: Router, stop: &CancellationToken) -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (pace, stop) = (Arc::new(Pace::new(Instant::now())), stop.clone());
    tasks.spawn(async move {
        let _how_it_ended = connection::serve(server, Protocol::Http1, Peer::default(), router, pace, stop).await;
    });
    client
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// Sends `bytes` and reads one answer with `Content-Length`. None: the connection was closed instead.
async fn exchange(io: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> Option<String> {
    io.write_all(bytes).await.ok()?;
    let mut answer = Vec::new();
    loop {
        if io.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return Some(text.into_owned());
            }
        }
    }
}

/// How long until the peer closes.
async fn closed_after(io: &mut (impl AsyncRead + Unpin)) -> Duration {
    let begun = Instant::now();
    let mut nothing = Vec::new();
    let _reset = io.read_to_end(&mut nothing).await;
    begun.elapsed()
}

//! A connection that breaks where its peer is slower than its [`Pace`] allows.

mod alarm;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::Instant,
};

use self::alarm::Alarm;
use super::{
    frames::Frames,
    pace::{HEADER_LIMIT, Pace},
};

/// A connection on which reads fail when the peer is slower than its pace allows, and writes when it does not read.
#[derive(Debug)]
pub struct Paced<IO> {
    inner: IO,
    /// What was read and is to be read again.
    ahead: Bytes,
    progress: Progress,
    silence: Alarm,
    blocked: Alarm,
    blocked_since: Option<Instant>,
}

/// How far a peer has come with what it is sending.
#[derive(Debug)]
enum Progress {
    Http1(Arc<Pace>),
    /// Idle connections have pings of their own; what is half-sent counts from its first byte.
    Http2 {
        pace: Arc<Pace>,
        frames: Frames,
        since: Instant,
    },
}

impl Progress {
    fn bytes_came(&mut self, bytes: &[u8], now: Instant) {
        match self {
            Self::Http1(pace) => pace.bytes_came(now),
            Self::Http2 { frames, since, .. } => {
                if frames.complete() | frames.feed(bytes) {
                    *since = now;
                }
            }
        }
    }

    fn flushed(&self, now: Instant) {
        match self {
            Self::Http1(pace) | Self::Http2 { pace, .. } => pace.flushed(now),
        }
    }

    /// Until when the peer may stay silent.
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Http1(pace) => pace.deadline(),
            Self::Http2 { frames, since, .. } => (!frames.complete()).then(|| *since + HEADER_LIMIT),
        }
    }
}

impl<IO> Paced<IO> {
    /// Watches an HTTP/1.1 connection.
    pub fn http1(inner: IO, pace: Arc<Pace>) -> Self {
        Self::new(inner, Progress::Http1(pace))
    }

    /// Watches an HTTP/2 connection that begins at `now`.
    pub fn http2(inner: IO, pace: Arc<Pace>, now: Instant) -> Self {
        Self::new(inner, Progress::Http2 { pace, frames: Frames::new(), since: now })
    }

    fn new(inner: IO, progress: Progress) -> Self {
        let (silence, blocked) = (Alarm::default(), Alarm::default());
        Self { inner, ahead: Bytes::new(), progress, silence, blocked, blocked_since: None }
    }

    /// Lets `bytes` be read again, before all others.
    pub fn put_back(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.progress.bytes_came(&bytes, Instant::now());
        }
        self.ahead = bytes;
    }

    /// Lets `written` pass, and fails where nothing could be written for too long.
    fn watch_write<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked_since = None;
            return written;
        }
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        ready!(self.blocked.poll(since + WRITE_LIMIT, context));
        Poll::Ready(Err(too_slow("the peer does not read")))
    }
}

impl<IO: AsyncRead + Unpin> Paced<IO> {
    /// Waits until there is something to read, without room for it. False: the peer has closed.
    pub async fn readable(&mut self) -> io::Result<bool> {
        if self.ahead.is_empty() {
            let mut first = [0];
            let read = self.read(&mut first).await?;
            self.ahead = Bytes::copy_from_slice(first.get(..read).unwrap_or_default());
        }
        Ok(!self.ahead.is_empty())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Paced<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let now = this.ahead.split_to(this.ahead.len().min(buffer.remaining()));
            buffer.put_slice(&now);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        if read.is_ready() {
            if let Some(bytes @ [_, ..]) = buffer.filled().get(before..) {
                this.progress.bytes_came(bytes, Instant::now());
            }
            return read;
        }
        let Some(deadline) = this.progress.deadline() else { return Poll::Pending };
        ready!(this.silence.poll(deadline, context));
        Poll::Ready(Err(too_slow("the peer is silent")))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Paced<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.watch_write(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.watch_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            this.progress.flushed(Instant::now());
        }
        this.watch_write(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.inner).poll_shutdown(context);
        this.watch_write(context, shut)
    }
}

fn too_slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// An answer is a few kilobytes.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

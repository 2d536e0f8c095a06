//! How slow a peer may be, and when.
//!
//! API servers keep idle connections for 90 s and lose a request when the server closes one first, so idle
//! connections live longer. A request that has begun to arrive has seconds. hyper cannot tell the two apart
//! (its `header_read_timeout` counts the idle wait, too): [`Paced`] sees the bytes, and the service tells it when
//! a header and a body were complete and when its answer was ready.

mod alarm;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::Instant,
};

use self::alarm::Alarm;
use super::frames::Frames;

/// What one connection is waiting for.
#[derive(Debug)]
pub struct Pace {
    phase: Mutex<Phase>,
    proven: AtomicBool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// For the first byte of a request.
    Idle {
        since: Instant,
        /// The last request was read to its end, so that the next byte is the next one's.
        clean: bool,
    },
    /// For the rest of a header.
    Header(Instant),
    /// For nothing from the socket: the request is being read and answered, which has its own limits.
    Request {
        /// Nothing of the body is to come.
        whole: bool,
        /// The answer is on its way, but perhaps not yet sent.
        answered: bool,
    },
}

impl Pace {
    /// A connection that was accepted at `now`.
    pub fn new(now: Instant) -> Self {
        Self { phase: Mutex::new(Phase::Idle { since: now, clean: true }), proven: AtomicBool::new(false) }
    }

    /// A header is complete. Returns when its first byte came.
    pub fn header_complete(&self, now: Instant) -> Instant {
        match self.change(|_| Phase::Request { whole: false, answered: false }) {
            Phase::Header(since) => since,
            Phase::Idle { .. } | Phase::Request { .. } => now,
        }
    }

    /// The body of the request has been read to its end.
    pub fn body_complete(&self) {
        self.change(|phase| match phase {
            Phase::Request { answered, .. } => Phase::Request { whole: true, answered },
            other => other,
        });
    }

    /// The answer is complete, but for sending it.
    pub fn answered(&self) {
        self.change(|phase| match phase {
            Phase::Request { whole, .. } => Phase::Request { whole, answered: true },
            other => other,
        });
    }

    /// Everything was sent that was to be sent: after an answer the connection is idle again.
    fn flushed(&self, now: Instant) {
        self.change(|phase| match phase {
            Phase::Request { whole: clean, answered: true } => Phase::Idle { since: now, clean },
            other => other,
        });
    }

    /// Whether nothing of a request has come that was not answered, and nothing of an answer is left.
    pub fn between_requests(&self) -> bool {
        matches!(self.change(|phase| phase), Phase::Idle { clean: true, .. })
    }

    /// A whole request has come: this peer is worth keeping.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether a whole request has ever come.
    pub fn proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    fn bytes_came(&self, now: Instant) {
        self.change(|phase| if let Phase::Idle { .. } = phase { Phase::Header(now) } else { phase });
    }

    /// Until when the peer may stay silent.
    fn deadline(&self) -> Option<Instant> {
        match self.change(|phase| phase) {
            Phase::Idle { since, .. } => Some(since + IDLE_LIMIT),
            Phase::Header(since) => Some(since + HEADER_LIMIT),
            Phase::Request { .. } => None,
        }
    }

    /// Returns the phase before.
    fn change(&self, to: impl FnOnce(Phase) -> Phase) -> Phase {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *phase;
        *phase = to(before);
        before
    }
}

/// How far a peer has come with what it is sending.
#[derive(Debug)]
enum Progress {
    Http1(Arc<Pace>),
    /// Idle connections have pings of their own; what is half-sent counts from its first byte.
    Http2(Frames, Instant),
}

impl Progress {
    fn bytes_came(&mut self, bytes: &[u8], now: Instant) {
        match self {
            Self::Http1(pace) => pace.bytes_came(now),
            Self::Http2(frames, since) => {
                if frames.complete() | frames.feed(bytes) {
                    *since = now;
                }
            }
        }
    }

    fn flushed(&self, now: Instant) {
        if let Self::Http1(pace) = self {
            pace.flushed(now);
        }
    }

    /// Until when the peer may stay silent.
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Http1(pace) => pace.deadline(),
            Self::Http2(frames, since) => (!frames.complete()).then(|| *since + HEADER_LIMIT),
        }
    }
}

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

impl<IO> Paced<IO> {
    /// Watches an HTTP/1.1 connection.
    pub fn http1(inner: IO, pace: Arc<Pace>) -> Self {
        Self::new(inner, Progress::Http1(pace))
    }

    /// Watches an HTTP/2 connection that begins at `now`.
    pub fn http2(inner: IO, now: Instant) -> Self {
        Self::new(inner, Progress::Http2(Frames::new(), now))
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

/// Go keeps idle connections for 90 s: the client must be the one who closes. A connection that was never used is in
/// the same pool, and a first request on it is not tried again.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// From the first byte of a header to its end.
const HEADER_LIMIT: Duration = Duration::from_secs(8);
/// An answer is a few kilobytes.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

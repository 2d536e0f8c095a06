//! What a connection is waiting for, and so how slow its peer may be.
//!
//! API servers keep idle connections for 90 s and lose a request when the server closes one first, so idle
//! connections live longer. A request that has begun to arrive has seconds. hyper cannot tell the two apart
//! (its `header_read_timeout` counts the idle wait, too): [`Paced`](super::paced::Paced) sees the bytes, and the service
//! tells when a header and a body were complete and when its answer was ready.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

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
    /// For nothing from the socket: requests are being read and answered, which has its own limits.
    Requests {
        /// How many have no answer yet, of HTTP/1.1 one at most; what is answered is perhaps not yet sent.
        open: usize,
        /// Nothing of the body is to come.
        whole: bool,
    },
}

impl Pace {
    /// A connection that was accepted at `now`.
    pub fn new(now: Instant) -> Self {
        Self { phase: Mutex::new(Phase::Idle { since: now, clean: true }), proven: AtomicBool::new(false) }
    }

    /// A header is complete. Returns when its first byte came.
    pub fn header_complete(&self, now: Instant) -> Instant {
        let before = self.change(|phase| match phase {
            Phase::Requests { open, .. } => Phase::Requests { open: open + 1, whole: false },
            Phase::Idle { .. } | Phase::Header(_) => Phase::Requests { open: 1, whole: false },
        });
        match before {
            Phase::Header(since) => since,
            Phase::Idle { .. } | Phase::Requests { .. } => now,
        }
    }

    /// The body of the request has been read to its end.
    pub fn body_complete(&self) {
        self.change(|phase| match phase {
            Phase::Requests { open, .. } => Phase::Requests { open, whole: true },
            other => other,
        });
    }

    /// An answer is complete, but for sending it; or nobody waits for it any more.
    pub fn answered(&self) {
        self.change(|phase| match phase {
            Phase::Requests { open, whole } => Phase::Requests { open: open.saturating_sub(1), whole },
            other => other,
        });
    }

    /// Everything was sent that was to be sent: after an answer the connection is idle again.
    pub(super) fn flushed(&self, now: Instant) {
        self.change(|phase| match phase {
            Phase::Requests { open: 0, whole: clean } => Phase::Idle { since: now, clean },
            other => other,
        });
    }

    /// Whether nothing of a request has come that was not answered, and nothing of an answer is left.
    pub fn between_requests(&self) -> bool {
        matches!(self.change(|phase| phase), Phase::Idle { clean: true, .. })
    }

    /// Since when nothing has come that was not answered; none while something is under way.
    pub fn idle_since(&self) -> Option<Instant> {
        match self.change(|phase| phase) {
            Phase::Idle { since, .. } => Some(since),
            Phase::Header(_) | Phase::Requests { .. } => None,
        }
    }

    /// A whole review has come: this peer is worth keeping.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether a whole review has ever come.
    pub fn proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_came(&self, now: Instant) {
        self.change(|phase| if let Phase::Idle { .. } = phase { Phase::Header(now) } else { phase });
    }

    /// Until when the peer may stay silent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.change(|phase| phase) {
            Phase::Idle { since, .. } => Some(since + IDLE_LIMIT),
            Phase::Header(since) => Some(since + HEADER_LIMIT),
            Phase::Requests { .. } => None,
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

/// Go keeps idle connections for 90 s: the client must be the one who closes. A connection that was never used is in
/// the same pool, and a first request on it is not tried again.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// From the first byte of a header to its end.
pub(super) const HEADER_LIMIT: Duration = Duration::from_secs(8);

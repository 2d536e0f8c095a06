//! Bodies that tell the connection's pace how far they have come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use crate::server::pace::Pace;

/// The body of a request.
pub(super) struct Taken {
    body: Incoming,
    pace: Arc<Pace>,
}

impl Taken {
    pub(super) fn new(body: Incoming, pace: Arc<Pace>) -> Self {
        let taken = Self { body, pace };
        taken.look();
        taken
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.pace.body_complete();
        }
    }
}

impl Body for Taken {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(None) => self.pace.body_complete(),
            Poll::Ready(Some(Ok(_))) => self.look(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => (),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request whose header has come, until there is an answer, or nobody who waits for one.
pub(super) struct Unanswered(Arc<Pace>);

impl Unanswered {
    /// With it, when the first byte of the request came.
    pub(super) fn new(pace: Arc<Pace>, now: Instant) -> (Instant, Self) {
        (pace.header_complete(now), Self(pace))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// The body of an answer. hyper drops it when it has the last of it.
pub(super) struct Outgoing {
    body: axum::body::Body,
    _until_sent: Unanswered,
}

impl Outgoing {
    pub(super) fn new(body: axum::body::Body, unanswered: Unanswered) -> Self {
        Self { body, _until_sent: unanswered }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

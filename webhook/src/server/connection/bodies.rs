//! Bodies that tell the connection's pace how far they have come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

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

/// The body of an answer. hyper drops it when it has the last of it.
pub(super) struct Outgoing {
    body: axum::body::Body,
    pace: Arc<Pace>,
}

impl Outgoing {
    pub(super) fn new(body: axum::body::Body, pace: Arc<Pace>) -> Self {
        Self { body, pace }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.pace.answered();
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

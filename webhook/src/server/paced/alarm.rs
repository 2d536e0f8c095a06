//! A timer of a connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{self, Instant, Sleep};

/// A timer that is made when it is first needed, and moved afterwards.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at `at`, which may be another moment each time.
    pub(super) fn poll(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(context)
    }
}

//! Who has to go when a port is full: the oldest connection that has not yet sent one whole request.
//!
//! So ten thousand silent connections cost honest callers nothing: theirs is proven within milliseconds.

use std::{collections::VecDeque, sync::Arc};

use tokio::task::AbortHandle;

use super::pace::Pace;

/// Connections in the order of their arrival; those that are proven or gone are skipped.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    queue: VecDeque<(AbortHandle, Arc<Pace>)>,
    /// Above this length the queue is swept.
    sweep_at: usize,
}

impl Newcomers {
    pub(super) fn push(&mut self, task: AbortHandle, pace: Arc<Pace>) {
        self.queue.push_back((task, pace));
        if self.queue.len() > self.sweep_at {
            self.queue.retain(|(task, pace)| unproven(task, pace));
            self.sweep_at = (2 * self.queue.len()).max(SWEEP_AT_LEAST);
        }
    }

    /// Whether there is one to turn away.
    pub(super) fn any(&mut self) -> bool {
        while self.queue.front().is_some_and(|(task, pace)| !unproven(task, pace)) {
            self.queue.pop_front();
        }
        !self.queue.is_empty()
    }

    pub(super) fn turn_away_oldest(&mut self) {
        if self.any()
            && let Some((task, _)) = self.queue.pop_front()
        {
            task.abort();
        }
    }
}

fn unproven(task: &AbortHandle, pace: &Pace) -> bool {
    !task.is_finished() && !pace.proven()
}

const SWEEP_AT_LEAST: usize = 256;

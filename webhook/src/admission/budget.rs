//! The time of one review, and who may spend how much of it.

use std::time::{Duration, Instant};

use tokio::time;

/// The time that is left for the questions of one review.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    deadline: Instant,
    /// Half of what there was at the start.
    half: Duration,
}

impl Budget {
    /// All the time until `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, half: left(deadline) / 2 }
    }

    /// When pull secrets must have been read: a Pod can be pinned without its secrets, but not without time.
    pub fn secrets(&self) -> Instant {
        share(self.deadline, 4).min(now() + LONGEST_FOR_SECRETS)
    }

    /// When the sources must have answered: half of the time is left for mirrors, where any are to be asked.
    pub fn sources(&self, mirrors_follow: bool) -> Instant {
        if mirrors_follow { share(self.deadline, 2) } else { self.deadline }
    }

    /// When the mirrors must have answered: all together get at most half, also where nobody else has taken any time.
    pub fn mirrors(&self) -> Instant {
        self.deadline.min(now() + self.half)
    }
}

/// When the first of `parts` equal shares of the time until `deadline` is over.
pub(super) fn share(deadline: Instant, parts: u32) -> Instant {
    now() + left(deadline) / parts.max(1)
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}

/// By the clock that tests can pause.
pub(super) fn now() -> Instant {
    time::Instant::now().into_std()
}

/// An API server that calls Berth answers within milliseconds.
const LONGEST_FOR_SECRETS: Duration = Duration::from_secs(1);

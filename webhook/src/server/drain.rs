//! When a port that was told to stop may end.

use std::{future, time::Duration};

use tokio::time::{self, Instant};

/// The bounds of a drain.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// Endpoints are removed late: until then new connections still come.
    pub earliest: Duration,
    /// With what follows, under the Pod's `terminationGracePeriodSeconds`.
    pub latest: Duration,
}

impl Pauses {
    /// For reviews: API servers go on using open connections for 90 s and more (kubernetes#127335).
    pub const REVIEWS: Self = Self { earliest: Duration::from_secs(10), latest: Duration::from_secs(100) };
    /// For probes and scrapes, which may be cut off.
    pub const STATUS: Self = Self { earliest: Duration::ZERO, latest: Duration::ZERO };

    /// Whether a drain is over that began `ago`, with so many connections `open`.
    pub fn over(self, ago: Duration, open: usize) -> bool {
        ago >= self.latest || (ago >= self.earliest && open == 0)
    }
}

/// A port's way from serving to its end.
#[derive(Debug)]
pub(super) struct Drain {
    pauses: Pauses,
    since: Option<Instant>,
}

impl Drain {
    pub(super) fn new(pauses: Pauses) -> Self {
        Self { pauses, since: None }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    pub(super) fn begun(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn over(&self, open: usize, now: Instant) -> bool {
        self.since.is_some_and(|since| self.pauses.over(now.duration_since(since), open))
    }

    /// Waits for the next moment at which the drain can be over without a connection having ended.
    pub(super) async fn next_look(&self, now: Instant) {
        match self.since {
            None => future::pending().await,
            Some(since) if now < since + self.pauses.earliest => time::sleep_until(since + self.pauses.earliest).await,
            Some(since) => time::sleep_until(since + self.pauses.latest).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: u64, open: usize, want: bool) {
        assert_eq!(Pauses::REVIEWS.over(Duration::from_secs(seconds), open), want, "after {seconds} s, {open} open");
    }

    #[test]
    fn it_ends_with_the_last_connection_within_its_bounds() {
        check(0, 0, false); // endpoints are removed late
        check(9, 0, false);
        check(10, 0, true);
        check(10, 1, false); // never close an idle connection
        check(99, 1, false);
        check(100, 1, true);
    }
}

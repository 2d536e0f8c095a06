//! Waiting by the wall clock, which jumps where a machine was suspended or its clock was set.

use std::time::{Duration, SystemTime};

use tokio::{
    sync::Notify,
    time::{self, Instant},
};

/// Waits for `news`, or until the wall clock says `until` or has been set back, and never longer than five minutes.
pub(super) async fn wait(until: Option<SystemTime>, news: &Notify) {
    let (started, longest) = (SystemTime::now(), Instant::now() + LONGEST);
    loop {
        let now = SystemTime::now();
        let left = until.map_or(SLICE, |until| until.duration_since(now).unwrap_or_default()).min(SLICE);
        if left.is_zero() || now < started || Instant::now() >= longest {
            return;
        }
        if time::timeout(left, news.notified()).await.is_ok() {
            return;
        }
    }
}

/// The longest time without a look: news can be lost.
const LONGEST: Duration = Duration::from_secs(300);
/// Time between two looks at the wall clock.
const SLICE: Duration = Duration::from_secs(10);

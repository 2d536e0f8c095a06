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

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it waits, in a time that passes only here.
    async fn waited(until: Option<SystemTime>, news: &Notify) -> Duration {
        let start = Instant::now();
        wait(until, news).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn news_wake_and_so_does_the_clock() {
        let news = Notify::new();
        // The wall clock stands still here, as it does where the machine is suspended: then only the longest wait counts.
        assert_eq!(waited(None, &news).await, LONGEST);
        assert_eq!(waited(Some(SystemTime::now() + 10 * LONGEST), &news).await, LONGEST);
        assert_eq!(waited(Some(SystemTime::now()), &news).await, Duration::ZERO);
        assert_eq!(waited(Some(SystemTime::UNIX_EPOCH), &news).await, Duration::ZERO);
        news.notify_one();
        assert_eq!(waited(None, &news).await, Duration::ZERO);
    }

    #[tokio::test]
    async fn it_waits_for_the_wall_clock() {
        let (news, until) = (Notify::new(), SystemTime::now() + Duration::from_millis(150));
        let waited = waited(Some(until), &news).await;
        assert!(SystemTime::now() >= until && waited < Duration::from_secs(9), "{waited:?}");
    }
}

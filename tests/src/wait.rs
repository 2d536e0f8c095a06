//! Waiting for something to come true, in one place, with a deadline and the last thing that was seen.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

/// Looks until `look` has found it; the error of the last look says what was seen instead.
///
/// # Errors
/// After `limit`: what was waited for, and the last error of `look`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() >= deadline => {
                return Err(seen.context(anyhow!("waited {} s in vain until {what}", limit.as_secs())));
            }
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);

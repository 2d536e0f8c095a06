//! Certificates, kept by real processes on a real API server that calls the webhook by its Service, while Pods are created
//! and connections are made all the time: how many of these calls fail. The goal is none.
//!
//! `BERTH_ROTATIONS` says how many times the CA is replaced, and how often whatever is broken is broken; by default just
//! often enough to show that it works.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]
#![allow(clippy::print_stdout, reason = "how many calls there were is worth knowing")]

mod away;
mod broken;
mod brought;
mod bundle;
mod killed;
mod rights;
mod rotations;
mod stage;
mod traffic;
mod two;

use std::{env, pin::pin, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep},
};

/// How often something is done.
fn times(usually: usize) -> usize {
    env::var("BERTH_ROTATIONS").ok().and_then(|times| times.parse().ok()).unwrap_or(usually)
}

/// `full` where the bars are measured and nothing else runs, else `usual`.
fn bar(usual: Duration, full: Duration) -> Duration {
    if env::var("BERTH_BARS").is_ok_and(|bars| bars == "full") { full } else { usual }
}

/// Leave to use the machine. A few experiments at a time: a controller that gets no turn for seconds cannot renew what
/// lasts for seconds.
async fn turn() -> SemaphorePermit<'static> {
    static TURNS: Semaphore = Semaphore::const_new(2);
    TURNS.acquire().await.unwrap()
}

/// How long `work` takes, but for the time in which the machine has no turn for this process either.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let (began, mut stood_still, mut work) = (Instant::now(), Duration::ZERO, pin!(work));
    loop {
        let asleep = Instant::now();
        tokio::select! {
            done = &mut work => return (done, began.elapsed().saturating_sub(stood_still)),
            () = sleep(PULSE) => stood_still += asleep.elapsed().saturating_sub(2 * PULSE),
        }
    }
}

const PULSE: Duration = Duration::from_millis(20);
/// Where Pods are created.
const NAMESPACE: &str = "shop";
/// Where Berth is.
const SYSTEM: &str = "berth-system";
/// The name by which the API server calls the webhook.
const CALL: &str = "berth-webhook.berth-system.svc";
const CONTROLLER: &str = "system:serviceaccount:berth-system:berth-controller";
const WEBHOOK: &str = "system:serviceaccount:berth-system:berth-webhook";
const LIMIT: Duration = Duration::from_secs(60);

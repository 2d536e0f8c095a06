//! Sending a request, and once more where the connection was to blame.

use std::{error::Error as _, io, time::Duration};

use reqwest::{RequestBuilder, Response};
use tokio::time;

use super::chance::chance;

/// Sends a question, which changes nothing at the registry; once more, a moment later, where the connection was refused
/// or broke before an answer: most often it had been idle, or the registry is just being restarted.
///
/// # Source
/// `hyper-util`, `legacy/client.rs`: by itself it repeats only what it had not begun to write to a connection that was
/// kept from before. `reqwest`, `retry.rs`: by itself it repeats only what HTTP/2 or HTTP/3 refused unseen.
pub(super) async fn send(request: RequestBuilder) -> reqwest::Result<Response> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if is_broken(&error) => {
            time::sleep(SHORTEST + SPREAD.mul_f64(chance())).await;
            again.send().await
        }
        (answer, _) => answer,
    }
}

/// Whether the connection was refused or broke.
fn is_broken(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let http = error.downcast_ref::<hyper::Error>();
        if io.is_some_and(|kind| BROKEN.contains(&kind)) || http.is_some_and(hyper::Error::is_incomplete_message) {
            return true;
        }
        cause = error.source();
    }
    false
}

const BROKEN: [io::ErrorKind; 5] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::UnexpectedEof,
];
/// Shortest time before the second attempt.
const SHORTEST: Duration = Duration::from_millis(10);
/// What chance adds to it at most.
const SPREAD: Duration = Duration::from_millis(50);

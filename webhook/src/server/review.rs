//! The routes of reviews: what must hold before a body may be decided about.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::{Extension, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time,
};
use tracing::warn;

use super::{
    body::{Budget, ROOM_WAIT},
    connection::Arrival,
    duration, workloads,
};
use crate::{
    admission::{App, Caller, Mode, decode, respond},
    config::Limits,
    registry::Resolve,
    telemetry::{Metrics, outcome},
};

/// Who answers: the admission rules, or a stand-in in tests of the server.
pub trait Answer: Send + Sync + 'static {
    /// The body that answers `body`, by `deadline`.
    ///
    /// # Errors
    /// [`decode::Error`] for a body that cannot be answered.
    fn review(
        &self,
        mode: Mode,
        caller: Caller,
        body: &[u8],
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<u8>, decode::Error>> + Send;

    /// The body that answers `body`, which is about a workload, by `deadline`: never a refusal.
    ///
    /// # Errors
    /// [`decode::Error`] for a body that cannot be answered.
    fn warn(
        &self,
        mode: Mode,
        caller: Caller,
        body: &[u8],
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<u8>, decode::Error>> + Send;

    /// The body that answers `body` after [`Self::review`] panicked on it; none where it has no uid.
    fn after_panic(&self, body: &[u8]) -> Option<Vec<u8>>;
}

/// The rules that are in force when a review begins are those that end it.
impl<R: Resolve> Answer for Arc<ArcSwap<App<R>>> {
    async fn review(
        &self,
        mode: Mode,
        caller: Caller,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, decode::Error> {
        self.load_full().review(mode, caller, body, deadline).await
    }

    async fn warn(&self, mode: Mode, caller: Caller, body: &[u8], deadline: Instant) -> Result<Vec<u8>, decode::Error> {
        self.load_full().warn(mode, caller, body, deadline).await
    }

    fn after_panic(&self, body: &[u8]) -> Option<Vec<u8>> {
        respond::panicked(body, self.load().config.pin.on_failure)
    }
}

/// What the routes share.
#[derive(Debug)]
pub(super) struct Desk<A> {
    pub(super) answer: A,
    budget: Arc<Budget>,
    turns: Semaphore,
    pub(super) warnings: Semaphore,
    pub(super) metrics: Arc<Metrics>,
}

/// What is asked for, by the path of a request.
#[derive(Clone, Copy, Debug)]
enum Errand {
    /// `/mutate` for namespaces labelled `enabled`, `/observe` for those labelled `observe`: the review of a Pod.
    Review(Mode),
    /// `/warn` and `/warn/observe`: what is to be said about a workload.
    Warn(Mode),
}

/// `POST` to the paths of reviews, and of warnings about workloads.
pub fn routes<A: Answer>(answer: A, limits: &Limits, metrics: Arc<Metrics>) -> Router {
    let turns = Semaphore::new(limits.reviews_in_flight.min(Semaphore::MAX_PERMITS));
    let warnings = Semaphore::new(workloads::at_once(limits));
    let desk = Desk { answer, budget: Arc::new(Budget::new(limits, metrics.clone())), turns, warnings, metrics };
    let on = |errand| post(move |desk, arrival, request| review(desk, arrival, errand, request));
    Router::new()
        .route("/mutate", on(Errand::Review(Mode::Enforce)))
        .route("/observe", on(Errand::Review(Mode::Observe)))
        .route("/warn", on(Errand::Warn(Mode::Enforce)))
        .route("/warn/observe", on(Errand::Warn(Mode::Observe)))
        .with_state(Arc::new(desk))
}

async fn review<A: Answer>(
    State(desk): State<Arc<Desk<A>>>,
    Extension(arrival): Extension<Arrival>,
    errand: Errand,
    request: Request,
) -> Response {
    match desk.review(&arrival, errand, request).await {
        Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(refusal) => {
            desk.count(&refusal);
            refusal.into_response()
        }
    }
}

impl<A: Answer> Desk<A> {
    async fn review(&self, arrival: &Arrival, errand: Errand, request: Request) -> Result<Vec<u8>, Refusal> {
        is_json(request.headers())?;
        let deadline = arrival.began.into_std() + time_to_answer(request.uri());
        let body = self.budget.take_in(request.into_body()).await?;
        if !arrival.pace.proven() && decode::uid(&body).is_some() {
            arrival.pace.prove();
        }
        let mode = match errand {
            Errand::Review(mode) => mode,
            Errand::Warn(mode) => return self.warn(mode, arrival.caller, &body, deadline).await,
        };
        let _turn = self.turn().await?;
        let started = Instant::now();
        match AssertUnwindSafe(self.answer.review(mode, arrival.caller, &body, deadline)).catch_unwind().await {
            Ok(answered) => answered.map_err(Refusal::NoReview),
            Err(_panic) => {
                // Where and why is in the log already: by the panic hook.
                self.metrics.review(outcome::Review::Panicked, started.elapsed());
                self.answer.after_panic(&body).ok_or(Refusal::NoReview(decode::Error::NoUid))
            }
        }
    }

    /// One of `limits.reviewsInFlight`.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let turn = time::timeout(ROOM_WAIT, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(Refusal::Flooded(outcome::Shed::Reviews))
    }

    fn count(&self, refusal: &Refusal) {
        match refusal {
            Refusal::Flooded(reason) => self.metrics.shed(*reason),
            Refusal::NoReview(reason) => {
                self.metrics.not_a_review();
                warn!(error = reason as &dyn std::error::Error, "refused a request");
            }
            Refusal::NotJson | Refusal::TooLarge(_) | Refusal::Slow | Refusal::Broken(_) => {
                self.metrics.not_a_review();
                warn!(%refusal, "refused a request");
            }
        }
    }
}

/// Why a request is not answered by a review. No Pod that an API server can send gets here, but by [`Self::Flooded`].
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// API servers send `application/json`, never compressed.
    #[error("the body must be application/json, not encoded")]
    NotJson,
    /// Larger than `limits.bodyBytes`.
    #[error("the body is larger than {0} bytes (limits.bodyBytes)")]
    TooLarge(usize),
    /// It did not come to its end in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// The connection broke.
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
    /// Too much at once: the API server tries again, within the same deadline.
    #[error("too many requests at once ({}): try again in a second", .0.word())]
    Flooded(outcome::Shed),
    /// No `AdmissionReview`.
    #[error("{0}")]
    NoReview(decode::Error),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Flooded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) | Self::NoReview(_) => StatusCode::BAD_REQUEST,
        };
        let mut response = (status, format!("{self}\n")).into_response();
        if let Self::Flooded(_) = self {
            // With this header the API server repeats the call (client-go rest/with_retry.go): nowhere else.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    let plain = !headers.contains_key(header::CONTENT_ENCODING);
    if plain && kind.trim().eq_ignore_ascii_case(JSON) { Ok(()) } else { Err(Refusal::NotJson) }
}

/// From the first byte of a request to the last of its answer: what the API server allows (`?timeout=10s`), less a
/// second, because it counts from before dial and TLS and rounds up.
fn time_to_answer(uri: &Uri) -> Duration {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    let given = parameters.find_map(|parameter| parameter.strip_prefix("timeout=")).and_then(duration::parse);
    given.map_or(USUAL_TIME, |given| given.saturating_sub(MARGIN).clamp(LEAST_TIME, MOST_TIME))
}

const JSON: &str = "application/json";
/// Where the caller does not say: an API server's own 10 s, less the margin.
const USUAL_TIME: Duration = Duration::from_secs(9);
const MARGIN: Duration = Duration::from_secs(1);
const LEAST_TIME: Duration = Duration::from_millis(300);
/// The API server's own limit for a webhook is 30 s.
const MOST_TIME: Duration = Duration::from_secs(29);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_answer_is_a_second_less_than_the_callers() {
        #[track_caller]
        fn check(uri: &str, milliseconds: u64) {
            assert_eq!(time_to_answer(&uri.parse().unwrap()), Duration::from_millis(milliseconds), "{uri}");
        }
        check("/mutate?timeout=10s", 9000);
        check("/mutate?a=b&timeout=3s", 2000);
        check("/mutate?timeout=1s", 300);
        check("/mutate?timeout=0s", 300);
        check("/mutate?timeout=999h", 29_000);
        check("/mutate", 9000);
        check("/mutate?timeout=", 9000);
        check("/mutate?timeout=soon", 9000);
    }

    #[test]
    fn only_plain_json_is_read() {
        #[track_caller]
        fn check(headers: &[(header::HeaderName, &str)], want: bool) {
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            assert_eq!(is_json(&headers).is_ok(), want, "{headers:?}");
        }
        check(&[(header::CONTENT_TYPE, "application/json")], true);
        check(&[(header::CONTENT_TYPE, "Application/JSON; charset=utf-8")], true);
        check(&[(header::CONTENT_TYPE, "application/yaml")], false);
        check(&[(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")], false);
        check(&[], false);
    }
}

//! Bodies in memory: each is bounded, and so are all together.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};

use super::review::Refusal;
use crate::{
    config::Limits,
    telemetry::{Metrics, outcome::Shed},
};

/// The memory that bodies share.
#[derive(Debug)]
pub struct Budget {
    each: usize,
    all: usize,
    left: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Budget {
    /// `limits.bodyBytes` for each, `limits.bodiesBytes` for all.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let all = limits.bodies_bytes.min(Semaphore::MAX_PERMITS);
        Self { each: limits.body_bytes, all, left: Arc::new(Semaphore::new(all)), metrics }
    }

    /// Takes a whole body in. Memory is taken as bytes come, never on the word of `Content-Length`.
    ///
    /// A body that is refused is read to its end all the same, without being kept: who writes on and finds the
    /// connection closed might never read the answer.
    pub async fn take_in(self: &Arc<Self>, mut body: Body) -> Result<Held, Refusal> {
        let until = Instant::now() + BODY_LIMIT;
        let taken = time::timeout_at(until, self.fill(&mut body)).await.unwrap_or(Err(Refusal::Slow));
        if let Err(Refusal::TooLarge(_) | Refusal::Flooded(_)) = taken {
            let rest = async { while let Some(Ok(_)) = body.frame().await {} };
            let _refused_anyway = time::timeout_at(until, rest).await;
        }
        taken
    }

    async fn fill(self: &Arc<Self>, body: &mut Body) -> Result<Held, Refusal> {
        let mut share = Share { budget: self.clone(), permit: None };
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
            if whole.len() + bytes.len() > self.each {
                return Err(Refusal::TooLarge(self.each));
            }
            share.grow(bytes.len()).await?;
            if whole.is_empty() && body.is_end_stream() {
                return Ok(Held { bytes, _share: share }); // most reviews come in one piece
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(Held { bytes: whole.freeze(), _share: share })
    }
}

/// A body, and its share of the memory until it is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: Bytes,
    _share: Share,
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    async fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let flooded = || Refusal::Flooded(Shed::Bodies);
        let bytes = u32::try_from(bytes).map_err(|_| flooded())?;
        let more = time::timeout(ROOM_WAIT, self.budget.left.clone().acquire_many_owned(bytes)).await;
        let more = more.ok().and_then(Result::ok).ok_or_else(flooded)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.report();
        Ok(())
    }

    fn report(&self) {
        self.budget.metrics.bodies(self.budget.all - self.budget.left.available_permits());
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.permit = None;
        self.report();
    }
}

/// From the end of the header to the end of the body.
const BODY_LIMIT: Duration = Duration::from_secs(8);
/// How long a request waits for memory or for its turn before it is shed: the API server tries again by itself.
pub(super) const ROOM_WAIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn budget(body_bytes: usize, bodies_bytes: usize) -> Arc<Budget> {
        let limits = Limits { registry_timeout: Duration::ZERO, reviews_in_flight: 1, body_bytes, bodies_bytes };
        Arc::new(Budget::new(&limits, Arc::default()))
    }

    fn chunks(chunks: &[&'static str]) -> Body {
        Body::from_stream(stream::iter(chunks.iter().map(|&chunk| Ok::<_, std::io::Error>(chunk)).collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn a_body_has_its_limit_to_the_byte() {
        let budget = budget(10, 100);
        for body in [Body::from("0123456789"), chunks(&["01234", "", "56789"])] {
            assert_eq!(&*budget.take_in(body).await.unwrap(), b"0123456789");
        }
        assert!(budget.take_in(Body::empty()).await.unwrap().is_empty());
        for body in [Body::from("0123456789x"), chunks(&["01234", "56789", "x"])] {
            assert!(matches!(budget.take_in(body).await, Err(Refusal::TooLarge(10))));
        }
        assert_eq!(budget.left.available_permits(), 100, "everything was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn all_bodies_have_theirs_and_waiting_is_short() {
        let budget = budget(10, 15);
        let first = budget.take_in(Body::from("0123456789")).await.unwrap();
        let begun = Instant::now();
        let second = budget.take_in(chunks(&["01234", "5"])).await;
        assert!(matches!(second, Err(Refusal::Flooded(Shed::Bodies))), "{second:?}");
        assert!(begun.elapsed() <= Duration::from_millis(100));
        assert_eq!(budget.left.available_permits(), 5, "what was refused holds nothing");

        let (third, ()) = tokio::join!(budget.take_in(Body::from("012345")), async {
            time::sleep(ROOM_WAIT / 2).await;
            drop(first);
        });
        assert_eq!(&*third.unwrap(), b"012345", "room came while it waited");
        assert_eq!(budget.left.available_permits(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_half_way_is_given_up() {
        let budget = budget(10, 100);
        let begun = Instant::now();
        let half = stream::iter([Ok::<_, std::io::Error>("half")]);
        let body = Body::from_stream(futures::StreamExt::chain(half, stream::pending()));
        assert!(matches!(budget.take_in(body).await, Err(Refusal::Slow)));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(budget.left.available_permits(), 100);
    }
}

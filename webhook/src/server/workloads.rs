//! The way of a request about a workload: Pods go before warnings, so that nothing is waited for or refused here.

use std::{panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt as _;

use super::review::{Answer, Desk, Refusal};
use crate::{
    admission::{Caller, Mode, decode, respond},
    config::{Limits, OnFailure},
    telemetry::outcome,
};

impl<A: Answer> Desk<A> {
    /// What is to be said about the workload in `body`; nothing where too many are asked about at once.
    pub(super) async fn warn(
        &self,
        mode: Mode,
        caller: Caller,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let Ok(_turn) = self.warnings.try_acquire() else {
            self.metrics.workload(outcome::Workload::Shed);
            let uid = decode::uid(body).ok_or(Refusal::NoReview(decode::Error::NoUid))?;
            return Ok(respond::warned(&uid, Vec::new()));
        };
        match AssertUnwindSafe(self.answer.warn(mode, caller, body, deadline)).catch_unwind().await {
            Ok(answered) => answered.map_err(Refusal::NoReview),
            Err(_panic) => {
                self.metrics.workload(outcome::Workload::Panicked);
                respond::panicked(body, OnFailure::Admit).ok_or(Refusal::NoReview(decode::Error::NoUid))
            }
        }
    }
}

/// How many are looked at at the same time: a share of `limits.reviewsInFlight`, besides which all Pods have their turns.
pub(super) fn at_once(limits: &Limits) -> usize {
    (limits.reviews_in_flight / 8).max(1)
}

//! What became of each call.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use anyhow::ensure;
use berth_tests::wait::until;

/// All calls so far.
#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    ended: Vec<Call>,
    under_way: BTreeMap<u64, Open>,
    next: u64,
}

/// A call that has not ended, or a connection that waits for its next call.
struct Open {
    /// None: it only waits.
    began: Option<Instant>,
    /// The replica, where that is known.
    replica: Option<IpAddr>,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// When it began.
    pub(crate) began: Instant,
    /// How long it took.
    pub(crate) took: Duration,
    /// The way it went.
    pub(crate) way: Way,
    /// To which replica, where that is known.
    pub(crate) replica: Option<IpAddr>,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// How a review comes about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Way {
    /// A Pod is created through the API server.
    ApiServer,
    /// By a new connection, verified against the bundle that is published.
    New,
    /// By a connection that is used again and again.
    Kept,
    /// By a connection that was idle.
    Idle,
}

/// What came of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Berth's answer.
    Answered,
    /// The API server let the Pod in as it was.
    Unchanged,
    /// No answer of Berth's, or another one: what failed.
    Failed(String),
    /// The API server was not there to take the call.
    Unheard,
}

impl Ledger {
    /// A call begins.
    pub(crate) fn begin(self: &Arc<Self>, way: Way) -> Ticket {
        let mut book = self.book();
        let number = book.next;
        book.next += 1;
        book.under_way.insert(number, Open { began: Some(Instant::now()), replica: None });
        Ticket { ledger: self.clone(), number, way }
    }

    /// A connection to `replica` is open, and no call is under way there.
    pub(crate) fn wait(self: &Arc<Self>, way: Way, replica: IpAddr) -> Ticket {
        let ticket = self.begin(way);
        ticket.with(|open| *open = Open { began: None, replica: Some(replica) });
        ticket
    }

    /// Waits until all calls that began before `moment` have ended.
    pub(crate) async fn settled(&self, moment: Instant) -> anyhow::Result<()> {
        until("all calls have ended", SETTLE_LIMIT, async || {
            let open = self.book().under_way.values().filter(|open| open.began.is_some_and(|at| at < moment)).count();
            ensure!(open == 0, "{open} have not");
            Ok(())
        })
        .await
    }

    /// The calls that began between two moments.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Vec<Call> {
        self.book().ended.iter().filter(|call| (from..to).contains(&call.began)).cloned().collect()
    }

    /// Calls that are under way to `replica`, or to nobody knows whom: those through the API server.
    pub(crate) fn under_way(&self, replica: IpAddr) -> usize {
        let there = |open: &&Open| open.began.is_some() && open.replica.is_none_or(|to| to == replica);
        self.book().under_way.values().filter(there).count()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// A call under way, or a connection that waits. Forgotten when it is dropped without an end.
pub(crate) struct Ticket {
    ledger: Arc<Ledger>,
    number: u64,
    way: Way,
}

impl Ticket {
    /// The call goes to `replica`.
    pub(crate) fn goes_to(&self, replica: IpAddr) {
        self.with(|open| open.replica = Some(replica));
    }

    /// The call on a connection that waited begins.
    pub(crate) fn begin(&self) {
        self.with(|open| open.began = Some(Instant::now()));
    }

    /// The call has ended.
    pub(crate) fn end(self, outcome: Outcome) {
        let mut book = self.ledger.book();
        if let Some(&Open { began: Some(began), replica }) = book.under_way.get(&self.number) {
            book.ended.push(Call { began, took: began.elapsed(), way: self.way, replica, outcome });
        }
    }

    fn with(&self, change: impl FnOnce(&mut Open)) {
        if let Some(open) = self.ledger.book().under_way.get_mut(&self.number) {
            change(open);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ledger.book().under_way.remove(&self.number);
    }
}

/// Longer than any call may take.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);

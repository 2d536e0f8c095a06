//! Reviews that are sent straight to the replicas, as API servers send them: by new connections, by one that is used
//! again and again, and by one that was idle. Nothing is sent twice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{interval, sleep},
};

use super::{
    KEPT_EVERY, LATE, Ledger, Outcome, Wanted, Way,
    connection::{Answer, Connection},
    view::View,
};

/// A replica, and how it is verified.
type Target = (SocketAddr, Arc<ClientConfig>);

/// API servers that know what they know.
pub(super) struct Direct {
    view: Arc<View>,
    ledger: Arc<Ledger>,
    review: Bytes,
    pinned: String,
    /// Calls so far: which replica is next, and how late its caller knows of changes.
    turn: AtomicU64,
}

impl Direct {
    pub(super) fn new(view: Arc<View>, wanted: &Wanted, ledger: Arc<Ledger>) -> Self {
        let pod = json!({ "spec": { "containers": [{ "name": "app", "image": wanted.image }] } });
        let request = json!({
            "uid": UID, "operation": "CREATE", "namespace": wanted.namespace, "object": pod,
            "resource": { "group": "", "version": "v1", "resource": "pods" },
        });
        let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
        let (review, pinned) = (review.to_string().into(), wanted.pinned.clone());
        Self { view, ledger, review, pinned, turn: AtomicU64::new(0) }
    }

    /// A new connection for each review, for ever.
    pub(super) async fn ask_by_new_connections(self: Arc<Self>) {
        let (mut calls, mut ticks) = (JoinSet::new(), interval(NEW_EVERY));
        loop {
            ticks.tick().await;
            while calls.try_join_next().is_some() {}
            let Some(target) = self.target() else { continue };
            let (direct, ticket) = (self.clone(), self.ledger.begin(Way::New));
            ticket.goes_to(target.0.ip());
            calls.spawn(async move {
                let asked = async {
                    direct.check(&Connection::open(target.0, target.1).await?.post(direct.review.clone()).await?)
                };
                ticket.end(outcome(asked.await));
            });
        }
    }

    /// One connection, until its replica says that it is the last answer; then another one, for ever.
    pub(super) async fn ask_by_kept_connection(self: Arc<Self>, phase: Duration) {
        sleep(phase).await;
        let (mut ticks, mut kept) = (interval(KEPT_EVERY), None);
        loop {
            ticks.tick().await;
            let Some(target) = self.target() else {
                kept = None; // whoever is not called any more may close it
                continue;
            };
            let ticket = self.ledger.begin(Way::Kept);
            let asked = self.ask_again(&mut kept, target, |replica| ticket.goes_to(replica.ip())).await;
            if asked.is_err() {
                kept = None;
            }
            ticket.end(outcome(asked));
        }
    }

    async fn ask_again(
        &self,
        kept: &mut Option<Connection>,
        target: Target,
        goes_to: impl FnOnce(SocketAddr),
    ) -> anyhow::Result<()> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(target.0, target.1).await?,
        };
        goes_to(connection.replica());
        let answer = connection.post(self.review.clone()).await?;
        self.check(&answer)?;
        let stopping = self.view.terminating(connection.replica(), STOP_LIMIT);
        ensure!(answer.last || !stopping, "a replica that stops did not say `Connection: close`");
        if !answer.last {
            *kept = Some(connection);
        }
        Ok(())
    }

    /// A connection a second, each with one review after having been idle for a time up to `longest`; for ever.
    pub(super) async fn ask_by_idle_connections(self: Arc<Self>, longest: Duration) {
        let (mut calls, mut ticks) = (JoinSet::new(), interval(IDLE_EVERY));
        for turn in 0_u32.. {
            ticks.tick().await;
            while calls.try_join_next().is_some() {}
            let Some((replica, trust)) = self.target() else { continue };
            let (direct, idle) = (self.clone(), longest * (turn * 7 % IDLE_STEPS + 1) / IDLE_STEPS);
            calls.spawn(async move {
                // New connections are counted elsewhere.
                let Ok(mut connection) = Connection::open(replica, trust).await else { return };
                let ticket = direct.ledger.wait(Way::Idle, replica.ip());
                tokio::select! { () = sleep(idle) => (), () = connection.closed() => () }
                if direct.view.trust(Duration::ZERO).is_none() {
                    return; // nobody is to be called
                }
                ticket.begin();
                ticket.end(outcome(direct.ask_late(&mut connection).await));
            });
        }
    }

    /// A close that nobody announced can meet a review on its way, and then that is lost: so it counts as lost.
    async fn ask_late(&self, connection: &mut Connection) -> anyhow::Result<()> {
        ensure!(!connection.is_closed(), "an idle connection was closed without a word");
        self.check(&connection.post(self.review.clone()).await?)
    }

    /// Where the next connection goes, and how it is verified, for one of several API servers. None: nowhere.
    fn target(&self) -> Option<Target> {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap();
        let late = LATE[turn % LATE.len()];
        let replicas = self.view.endpoints(late);
        let replica = replicas.get(turn / LATE.len() % replicas.len().max(1))?;
        Some((*replica, self.view.trust(late)?))
    }

    /// Whether it is the answer that a Pod with the image gets.
    fn check(&self, answer: &Answer) -> anyhow::Result<()> {
        let review: Value = serde_json::from_slice(&answer.body)?;
        let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        ensure!(text("/response/uid") == UID, "the answer to another review");
        ensure!(review.pointer("/response/allowed") == Some(&Value::Bool(true)), "denied");
        let patch = String::from_utf8(BASE64.decode(text("/response/patch"))?)?;
        if !patch.contains(&self.pinned) {
            bail!("not pinned: {}", text("/response/auditAnnotations/notes"));
        }
        Ok(())
    }
}

fn outcome(asked: anyhow::Result<()>) -> Outcome {
    match asked {
        Ok(()) => Outcome::Answered,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

const NEW_EVERY: Duration = Duration::from_millis(70);
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Different times that connections are idle for.
const IDLE_STEPS: u32 = 45;
/// A kubelet takes a while to tell a replica to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
const UID: &str = "7a1c2c0e-5d5a-4c39-9f0e-2f8f0c8f9a11";

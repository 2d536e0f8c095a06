//! Reviews all the while, at a steady rate whatever comes of the ones before: Pods that are created through the API
//! server, and reviews that are sent straight to the replicas, as API servers send them.

mod api_server;
mod connection;
mod direct;
mod ledger;
mod view;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use berth_tests::cluster::Cluster;
use tokio::task::JoinSet;

pub(crate) use self::ledger::{Call, Ledger, Outcome, Way};
use self::{direct::Direct, view::View};
use crate::table::Row;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The namespace of the Pods.
    pub(crate) namespace: &'static str,
    /// The image that they name.
    pub(crate) image: String,
    /// What Berth makes of it: any other answer is a failed call.
    pub(crate) pinned: String,
}

/// The running load. It ends when it is dropped.
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    _tasks: JoinSet<()>,
}

impl Load {
    /// Starts it, in a cluster that calls Berth; `longest_idle` is how long a connection may wait for its next review.
    pub(crate) async fn start(cluster: &Cluster, wanted: Wanted, longest_idle: Duration) -> anyhow::Result<Self> {
        let (ledger, view, mut tasks) = (Arc::<Ledger>::default(), Arc::<View>::default(), JoinSet::new());
        let client = cluster.client().await?;
        tasks.spawn(view.clone().follow_bundle(client.clone()));
        tasks.spawn(view.clone().follow_endpoints(client));
        view.complete().await?;
        tasks.spawn(api_server::ask(cluster.pods(wanted.namespace).await?, wanted.clone(), ledger.clone()));
        let direct = Arc::new(Direct::new(view, &wanted, ledger.clone()));
        tasks.spawn(direct.clone().ask_by_new_connections());
        for number in 0..KEPT {
            tasks.spawn(direct.clone().ask_by_kept_connection(KEPT_EVERY * number / KEPT));
        }
        tasks.spawn(direct.ask_by_idle_connections(longest_idle));
        Ok(Self { ledger, _tasks: tasks })
    }

    /// Does `action`, and counts the calls that began meanwhile.
    pub(crate) async fn during(
        &self,
        name: impl Into<String>,
        action: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Row> {
        let (name, began) = (name.into(), Instant::now());
        action.await.with_context(|| name.clone())?;
        let ended = Instant::now();
        self.ledger.settled(ended).await?;
        Ok(Row::new(name, ended - began, &self.ledger.between(began, ended)))
    }

    /// How many calls failed of those that began between two moments; to one replica, or to all.
    pub(crate) fn failures(&self, from: Instant, to: Instant, replica: Option<IpAddr>) -> usize {
        let failed = |call: &&Call| matches!(call.outcome, Outcome::Unchanged | Outcome::Failed(_));
        let there = |call: &&Call| replica.is_none() || call.replica == replica;
        self.ledger.between(from, to).iter().filter(failed).filter(there).count()
    }

    /// How many Pods were let in as they were, of those that were created between two moments through the API server.
    pub(crate) fn let_in(&self, from: Instant, to: Instant) -> usize {
        self.ledger.between(from, to).iter().filter(|call| call.outcome == Outcome::Unchanged).count()
    }

    /// How many calls are under way at this moment through the API server, and to this replica.
    pub(crate) fn under_way(&self, replica: IpAddr) -> usize {
        self.ledger.under_way(replica)
    }
}

/// How much later than others some API servers hear of a change. Less than the hold between a bundle and its leaf.
const LATE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), LATEST];
/// The latest of them.
pub(crate) const LATEST: Duration = Duration::from_secs(4);
/// Connections that are used again and again.
const KEPT: u32 = 8;
/// The time between two reviews on one of them.
const KEPT_EVERY: Duration = Duration::from_millis(500);

//! `berth controller`: the one that writes.

use std::{env, path::PathBuf, sync::Arc};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tracing::info;

use super::{Failure, Outcome, cluster, configuration::Source, signals::Signals};
use crate::{
    gates::Gates,
    nodes::{Nodes, heartbeat},
    telemetry::{Metrics, logs},
};

/// Open the scheduling gate of a Pod when a node has its image. The only command that writes to the cluster.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, the same as the webhook's; without it, the defaults of the production profile.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs until it is told to stop.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    logs::init();
    let mut signals = Signals::listen().context("signal handlers").map_err(Failure::Unavailable)?;
    let mut source = Source::new(args.config);
    let config = Arc::new(ArcSwap::from_pointee(source.load().map_err(Failure::Usage)?));
    let client = cluster::client().await?;

    let metrics = Arc::new(Metrics::new(&config.load()));
    let nodes = Arc::new(Nodes::new(config.load().place.list_limit));
    let gates = Gates::new(client.clone(), nodes.clone(), config.clone(), cluster::own_namespace());
    let mut endless = JoinSet::new();
    endless.spawn(nodes.clone().follow(client.clone(), metrics.clone()));
    let counted = metrics.clone();
    endless.spawn(async move { gates.run(&counted).await });
    endless.spawn(async move {
        let replace = |new| {
            config.store(Arc::new(new));
            Ok(())
        };
        source.follow(&metrics, replace).await;
    });
    endless.spawn(async move {
        let mut changes = nodes.changes();
        while !nodes.synced() {
            let _changed = changes.changed().await; // before the first list no gate could be opened
        }
        heartbeat::renew(client, cluster::own_namespace(), holder()).await;
    });
    info!("opening gates");

    tokio::select! {
        signal = signals.first() => { info!(signal, "stopping"); Ok(Outcome::Done) }
        Some(_) = endless.join_next() => Err(Failure::Unavailable(anyhow!("a task ended that never should"))),
    }
}

/// Who renews the Lease, for people who look at it: the name of the Pod.
fn holder() -> String {
    env::var("HOSTNAME").unwrap_or_else(|_| "berth-controller".to_owned())
}

//! `berth controller`: the one that writes.

use std::{env, path::PathBuf, sync::Arc};

use anyhow::{Context as _, anyhow};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::{info, warn};

use super::{Failure, Outcome, cluster};
use crate::{
    config::{self, Config},
    nodes::{Nodes, gates::Gates, heartbeat},
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
    let listen = |kind| signal(kind).context("signal handlers").map_err(Failure::Unavailable);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let config = Arc::new(load(args.config)?);
    let client = cluster::client().await?;

    let metrics = Arc::new(Metrics::new(&config));
    let nodes = Arc::new(Nodes::new(config.place.list_limit));
    let gates = Gates::new(client.clone(), nodes.clone(), config, cluster::own_namespace());
    let mut endless = JoinSet::new();
    endless.spawn(nodes.clone().follow(client.clone(), metrics.clone()));
    endless.spawn(async move { gates.run(&metrics).await });
    endless.spawn(async move {
        let mut changes = nodes.changes();
        while !nodes.synced() {
            let _changed = changes.changed().await; // before the first list no gate could be opened
        }
        heartbeat::renew(client, cluster::own_namespace(), holder()).await;
    });
    info!("opening gates");

    tokio::select! {
        _ = terminate.recv() => Ok(Outcome::Done),
        _ = interrupt.recv() => Ok(Outcome::Done),
        Some(_) = endless.join_next() => Err(Failure::Unavailable(anyhow!("a task ended that never should"))),
    }
}

fn load(path: Option<PathBuf>) -> Result<Config, Failure> {
    let Some(path) = path else { return Ok(Config::default()) };
    let (config, warnings) = config::load(&path).map_err(|error| Failure::Usage(error.into()))?;
    for warning in warnings {
        warn!(%warning, "configuration");
    }
    Ok(config)
}

/// Who renews the Lease, for people who look at it: the name of the Pod.
fn holder() -> String {
    env::var("HOSTNAME").unwrap_or_else(|_| "berth-controller".to_owned())
}

//! `berth controller`: the one that writes.

mod way_out;

use std::{env, mem, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use berth_cert_manager::Settings;
use kube::Client;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Failure, Outcome, cluster, configuration::Source, signals::Signals, webhook};
use crate::{
    attention, certificates,
    config::Config,
    events::Recorder,
    gates::{Gates, Means},
    nodes::{Nodes, heartbeat},
    server::{self, drain::Pauses, status},
    stuck::Stuck,
    telemetry::{Metrics, logs},
};

/// Keep the certificate that API servers know Berth by, open the scheduling gate of a Pod when a node has its image, and say
/// what Pods wait for. The only command that writes to the cluster.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, the same as the webhook's; without it, the defaults of the production profile.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where `/livez`, `/readyz` and `/metrics` are, over plain HTTP.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8080")]
    status_listen: SocketAddr,
    /// Open the gates of all Pods, wherever their images are, and end.
    #[arg(long, conflicts_with_all = ["config", "status_listen"])]
    lift_all: bool,
    /// Delete both webhook configurations, open the gates of all Pods, and end: the first step of uninstalling Berth.
    #[arg(long, conflicts_with_all = ["config", "status_listen", "lift_all"])]
    uninstall: bool,
}

/// Runs until it is told to stop, or until it is out of the way.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    if args.lift_all {
        return way_out::lift_all().await;
    }
    if args.uninstall {
        return way_out::uninstall().await;
    }
    logs::init();
    let mut signals = Signals::listen().context("signal handlers").map_err(Failure::Unavailable)?;
    let mut source = Source::new(args.config);
    let config = source.load().map_err(Failure::Usage)?;
    let own_namespace = cluster::own_namespace();
    let certificates = certificates::settings(&config.certificates, &own_namespace).map_err(Failure::Usage)?;
    let certificates = watch::Sender::new(certificates);
    let config = Arc::new(ArcSwap::from_pointee(config));
    let means = means(cluster::client().await?, own_namespace.clone(), config.clone());
    let (gates, metrics) = (Arc::new(Gates::new(means.clone())), means.metrics.clone());
    let able = gates.clone();
    let missing = move || if able.able() { Vec::new() } else { vec!["waiting for news of nodes and gated Pods"] };
    let routes = status::routes(missing, metrics.clone());
    let status = webhook::bind("status", args.status_listen, routes, server::STATUS_CONNECTIONS, None).await?;

    let mut endless = JoinSet::new();
    endless.spawn(status.serve(metrics.clone(), CancellationToken::new(), Pauses::STATUS));
    follow(means, gates, certificates.subscribe(), &mut endless);
    endless.spawn(async move {
        let replace = |new: Config| {
            let wanted = certificates::settings(&new.certificates, &own_namespace)?;
            certificates.send_if_modified(|known| mem::replace(known, wanted.clone()) != wanted);
            config.store(Arc::new(new));
            Ok(())
        };
        source.follow(&metrics, replace).await;
    });
    info!("keeping certificates and opening gates");

    tokio::select! {
        signal = signals.first() => { info!(signal, "stopping"); Ok(Outcome::Done) }
        Some(_) = endless.join_next() => Err(Failure::Unavailable(anyhow!("a task ended that never should"))),
    }
}

/// What the controller works with in the cluster of `client`.
fn means(client: Client, own_namespace: String, config: Arc<ArcSwap<Config>>) -> Means {
    let metrics = Arc::new(Metrics::new(&config.load()));
    Means {
        nodes: Arc::new(Nodes::new(config.load().place.list_limit)),
        config,
        own_namespace,
        events: Arc::new(Recorder::new(client.clone(), &holder(), metrics.clone())),
        client,
        metrics,
    }
}

/// Starts everything that never ends.
fn follow(means: Means, gates: Arc<Gates>, wanted: watch::Receiver<Settings>, tasks: &mut JoinSet<()>) {
    let stuck = Stuck::new(means.clone());
    let Means { client, nodes, own_namespace, events, metrics, .. } = means;
    let (told, counted) = (events.clone(), metrics.clone());
    tasks.spawn(certificates::keep(client.clone(), wanted, told, counted));
    tasks.spawn(nodes.follow(client.clone(), metrics.clone()));
    tasks.spawn(attention::follow(client.clone(), events.clone(), metrics));
    tasks.spawn(async move { events.run().await });
    tasks.spawn(async move { stuck.run().await });
    let able = gates.clone();
    tasks.spawn(heartbeat::renew(client, own_namespace, holder(), move || able.able()));
    tasks.spawn(async move { gates.run().await });
}

/// Who acts, for people who look at the Lease or an Event: the name of the Pod.
fn holder() -> String {
    env::var("HOSTNAME").unwrap_or_else(|_| "berth-controller".to_owned())
}

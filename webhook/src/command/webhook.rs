//! `berth webhook`: configure → build → bind → serve → drain.

mod build;
mod certificate;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::{
    build::{Cluster, Rules},
    certificate::Certificate,
};
use super::{Failure, Outcome, configuration::Source, signals::Signals};
use crate::{
    server::{
        self, Port,
        callers::{Callers, Trust},
        drain::Pauses,
        readiness::Readiness,
        review, status,
        tls::{Tls, files::Files},
    },
    telemetry::{Metrics, logs},
};

/// Serve admission reviews over TLS. Reads the cluster, writes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; without it, the defaults of the production profile.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where API servers send reviews, over TLS.
    #[arg(long, value_name = "ADDR", default_value = "[::]:10250")]
    listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are, over plain HTTP.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8080")]
    status_listen: SocketAddr,
    /// The certificate to serve with, PEM, the leaf first; read again when it changes. Without it, the Secret `berth-tls`
    /// in Berth's own namespace is followed.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Pin and mirror without a Kubernetes API; place then notes that it cannot.
    #[arg(long)]
    without_cluster: bool,
}

/// Serves until it is told to stop.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    logs::init();
    let signals = Signals::listen().context("signal handlers").map_err(Failure::Unavailable)?;
    let webhook = Webhook::build(args).await?;
    webhook.serve(signals).await
}

/// Everything that can fail at start has not failed.
struct Webhook {
    source: Source,
    rules: Arc<ArcSwap<Rules>>,
    cluster: Option<Cluster>,
    certificate: Certificate,
    tls: Arc<Tls>,
    metrics: Arc<Metrics>,
    reviews: Port,
    status: Port,
    readiness: Arc<Readiness>,
}

impl Webhook {
    async fn build(args: Args) -> Result<Self, Failure> {
        let mut source = Source::new(args.config);
        let config = source.load().map_err(Failure::Usage)?;
        let metrics = Arc::new(Metrics::new(&config));
        let callers = Arc::new(Callers::new());
        callers.believe(Trust::read(&config.pull_secrets).map_err(|error| Failure::Usage(error.into()))?);
        let files = args.tls_cert.zip(args.tls_key).map(|(certificate, key)| Files { certificate, key });
        let cluster = if args.without_cluster { None } else { Some(Cluster::connect(&config).await?) };
        let certificate = Certificate::choose(files, cluster.as_ref().map(Cluster::client))?;
        let tls = Arc::new(certificate.load(callers).await.context("certificate").map_err(Failure::Usage)?);
        let limits = config.limits;
        let rules = build::rules(config, cluster.as_ref(), None, metrics.clone()).map_err(Failure::Usage)?;
        let rules = Arc::new(ArcSwap::from_pointee(rules));
        let (nodes, local) = (cluster.as_ref().map(Cluster::nodes), cluster.as_ref().and_then(Cluster::local_registry));
        let readiness = Arc::new(Readiness::new(tls.clone(), nodes, local));

        let router = review::routes(rules.clone(), &limits, metrics.clone());
        let reviews = bind("review", args.listen, router, server::REVIEW_CONNECTIONS, Some(tls.clone())).await?;
        let waits = readiness.clone();
        let router = status::routes(move || waits.missing(SystemTime::now()), metrics.clone());
        let status = bind("status", args.status_listen, router, server::STATUS_CONNECTIONS, None).await?;
        Ok(Self { source, rules, cluster, certificate, tls, metrics, reviews, status, readiness })
    }

    async fn serve(self, mut signals: Signals) -> Result<Outcome, Failure> {
        let Self { source, rules, cluster, certificate, tls, metrics, reviews, status, readiness } = self;
        let stop = CancellationToken::new();
        let mut endless = JoinSet::new();
        endless.spawn(status.serve(metrics.clone(), CancellationToken::new(), Pauses::STATUS));
        let callers = tls.callers().clone();
        endless.spawn(certificate.follow(tls, metrics.clone()));
        if let Some(cluster) = &cluster {
            cluster.follow(&mut endless, &metrics);
        }
        let counted = metrics.clone();
        endless.spawn(async move {
            let replace = |config| build::replace(&rules, &callers, config, cluster.as_ref(), counted.clone());
            // In one task, so that neither builds on what the other is replacing.
            tokio::select! {
                () = source.follow(&counted, replace) => (),
                () = build::follow_local_registry(&rules, cluster.as_ref(), &counted, replace) => (),
            }
        });
        let mut serving = JoinSet::new();
        serving.spawn(reviews.serve(metrics, stop.clone(), Pauses::REVIEWS));

        let outcome = tokio::select! {
            signal = signals.first() => { info!(signal, "draining"); Ok(Outcome::Done) }
            Some(_) = endless.join_next() => Err(Failure::Unavailable(anyhow!("a task ended that never should"))),
        };
        readiness.stopping();
        stop.cancel();
        tokio::select! {
            _ended = serving.join_next() => (),
            () = signals.impatient() => info!("stopping at once"),
        }
        outcome
    }
}

pub(super) async fn bind(
    name: &'static str,
    address: SocketAddr,
    router: Router,
    connections: usize,
    tls: Option<Arc<Tls>>,
) -> Result<Port, Failure> {
    let port = Port::bind(name, address, router, connections, tls).await;
    port.with_context(|| format!("cannot listen on {address}")).map_err(Failure::Unavailable)
}

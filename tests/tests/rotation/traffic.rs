//! What goes on all the while: Pods are created through the API server, and new connections verify the certificate
//! against the bundle that was published at that time. All of it open-loop: a call that hangs holds up no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use berth_tests::{cluster::Cluster, wait::until};
use futures::StreamExt as _;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Pod};
use kube::{
    Api,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_rustls::TlsConnector;

use super::{CALL, NAMESPACE};

/// Calls of a kind, and those that failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// All of them.
    pub(crate) calls: usize,
    /// When and why, of those that failed.
    pub(crate) failures: Vec<(Instant, String)>,
}

/// What is counted, by what is done.
type Tallies = Arc<Mutex<BTreeMap<String, Tally>>>;

/// The streams of calls. They end when this is dropped.
pub(crate) struct Traffic {
    tallies: Tallies,
    tasks: JoinSet<()>,
}

impl Traffic {
    /// Starts creating Pods, and connecting to the webhooks at `addresses` as API servers do that learn of a new bundle
    /// by `lags`.
    pub(crate) async fn start(cluster: &Cluster, addresses: &[String], lags: &[Duration]) -> anyhow::Result<Self> {
        let tallies = Tallies::default();
        let history = Arc::new(History::default());
        let mut tasks = JoinSet::new();
        let pods = cluster.pods(NAMESPACE).await?;
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client().await?);
        let told = history.clone();
        tasks.spawn(async move { told.follow(configurations).await });
        until("it is known what is published", CALL_LIMIT, async || history.at(0, Duration::ZERO).context("nothing"))
            .await?;
        tasks.spawn(stream(tallies.clone(), PODS_EVERY, move |_| {
            let pods = pods.clone();
            ("Pods created".to_owned(), async move { create(&pods).await })
        }));
        for address in addresses {
            let (address, history, lags) = (address.clone(), history.clone(), lags.to_vec());
            tasks.spawn(stream(tallies.clone(), CONNECT_EVERY, move |turn| {
                let lag = lags[turn % lags.len()];
                let (address, bundle) = (address.clone(), history.at(turn, lag));
                let what = format!("connections, {} ms behind", lag.as_millis());
                (what, async move { connect(&address, bundle.as_deref()).await.map(drop) })
            }));
        }
        Ok(Self { tallies, tasks })
    }

    /// Ends the streams, and says what came of all calls.
    pub(crate) async fn end(mut self, experiment: &'static str) -> Outcome {
        self.tasks.shutdown().await;
        let tallies = std::mem::take(&mut *self.tallies.lock().unwrap());
        for (what, tally) in &tallies {
            println!("{experiment}: {what}: {} calls, {} failed", tally.calls, tally.failures.len());
        }
        Outcome { experiment, tallies }
    }
}

/// What came of all calls of an experiment.
pub(crate) struct Outcome {
    experiment: &'static str,
    tallies: BTreeMap<String, Tally>,
}

impl Outcome {
    /// Of those alone whose name starts with `what`.
    pub(crate) fn of(mut self, what: &str) -> Self {
        self.tallies.retain(|name, _| name.starts_with(what));
        self
    }

    /// Fails where a call did, or where there were none.
    #[track_caller]
    pub(crate) fn none_failed(&self) {
        self.failed_only(&[]);
    }

    /// The same, but for calls that began in one of these times.
    #[track_caller]
    pub(crate) fn failed_only(&self, during: &[(Instant, Instant)]) {
        for (what, Tally { calls, failures }) in &self.tallies {
            assert!(*calls > 10, "{}: {what}: {calls} calls show nothing", self.experiment);
            let excused = |at: &Instant| during.iter().any(|(from, to)| (from..=to).contains(&at));
            let failed: Vec<_> = failures.iter().filter(|(at, _)| !excused(at)).map(|(_, why)| why.as_str()).collect();
            let kinds: BTreeSet<_> = failed.iter().map(|why| why.split("current time").next()).collect();
            assert!(
                failed.is_empty(),
                "{}: {what}: {} of {calls} calls failed: {kinds:#?}",
                self.experiment,
                failed.len()
            );
        }
    }
}

/// Does something every so often, whether or not what was done before has ended.
async fn stream<F>(tallies: Tallies, every: Duration, mut call: impl FnMut(usize) -> (String, F) + Send + 'static)
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for turn in 0.. {
        turns.tick().await;
        while calls.try_join_next().is_some() {}
        let (what, call) = call(turn);
        let tallies = tallies.clone();
        calls.spawn(async move {
            let started = Instant::now();
            let outcome = timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer")));
            let mut tallies = tallies.lock().unwrap();
            let tally = tallies.entry(what).or_default();
            tally.calls += 1;
            tally.failures.extend(outcome.err().map(|error| (started, format!("{error:#}"))));
        });
    }
}

/// A Pod that Berth reviews without asking anybody: the note proves that it did.
pub(crate) async fn create(pods: &Api<Pod>) -> anyhow::Result<()> {
    let container = json!({ "name": "any", "image": "Not an image" });
    let pod = serde_json::from_value(json!({ "metadata": { "name": "any" }, "spec": { "containers": [container] } }))?;
    let pod = match pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await {
        Err(kube::Error::Api(status)) => bail!(status.message.clone()), // kube says it three times
        outcome => outcome?,
    };
    let annotations = pod.metadata.annotations.unwrap_or_default();
    ensure!(annotations.contains_key("berth.dev/notes"), "Berth was not asked");
    Ok(())
}

/// A handshake as an API server makes it, that trusts `bundle` and nothing else; the certificate that was shown.
pub(crate) async fn connect(address: &str, bundle: Option<&[u8]>) -> anyhow::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.context("nothing is published")?) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.context("TCP")?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from(CALL)?, stream).await.context("TLS")?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(shown.context("no certificate was shown")?.clone().into_owned())
}

/// Which bundles were published, and since when.
#[derive(Default)]
struct History(Mutex<Vec<(Instant, Vec<Vec<u8>>)>>);

impl History {
    async fn follow(&self, api: Api<MutatingWebhookConfiguration>) {
        let config = watcher::Config::default().fields("metadata.name=zz-berth.dev");
        let mut news = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = news.next().await {
            let Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) = event else { continue };
            let bundles = found.webhooks.unwrap_or_default().into_iter();
            let bundles = bundles.map(|webhook| webhook.client_config.ca_bundle.unwrap_or_default().0).collect();
            self.0.lock().unwrap().push((Instant::now(), bundles));
        }
    }

    /// What an API server knows that is so far behind, of one of the webhooks; the first that was ever published where it
    /// would know of none.
    fn at(&self, turn: usize, lag: Duration) -> Option<Vec<u8>> {
        let history = self.0.lock().unwrap();
        let (now, published) = (Instant::now(), |bundles: &[Vec<u8>]| bundles.iter().all(|bundle| !bundle.is_empty()));
        let known = history.iter().rev().find(|(since, _)| now.duration_since(*since) >= lag);
        let known = known.filter(|(_, bundles)| published(bundles) || lag.is_zero());
        let (_, bundles) = known.or_else(|| history.iter().find(|(_, bundles)| published(bundles)))?;
        Some(bundles[turn % bundles.len()].clone())
    }
}

/// Ten Pods a second.
const PODS_EVERY: Duration = Duration::from_millis(100);
/// 25 connections a second to each webhook.
const CONNECT_EVERY: Duration = Duration::from_millis(40);
/// As an API server waits for a webhook.
const CALL_LIMIT: Duration = Duration::from_secs(10);

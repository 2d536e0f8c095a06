//! What API servers know of Berth. Each follows by itself, so each hears of a change at its own time.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::ensure;
use berth_tests::wait::until;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// What an API server knows, and since when it could.
#[derive(Default)]
pub(crate) struct View {
    bundles: Mutex<History<Option<Arc<ClientConfig>>>>,
    endpoints: Mutex<History<Vec<Endpoint>>>,
}

/// A replica behind the Service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// Where it is reached.
    pub(crate) address: SocketAddr,
    /// New connections may go there.
    pub(crate) ready: bool,
    /// It was told to stop.
    pub(crate) terminating: bool,
}

/// Values, each with when it was seen first.
struct History<T>(Vec<(Instant, T)>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> History<T> {
    fn push(&mut self, value: T) {
        let old = Instant::now().checked_sub(FORGET);
        let newer = self.0.iter().position(|(at, _)| Some(*at) > old).unwrap_or(self.0.len());
        self.0.drain(..newer.saturating_sub(1));
        self.0.push((Instant::now(), value));
    }

    /// The value that was the newest one so long ago; the first one where there was none.
    fn at(&self, late: Duration) -> Option<T> {
        let moment = Instant::now().checked_sub(late)?;
        let known = self.0.iter().rev().find(|(at, _)| *at <= moment);
        known.or(self.0.first()).map(|(_, value)| value.clone())
    }
}

impl View {
    /// Waits until there is something to know.
    pub(super) async fn complete(&self) -> anyhow::Result<()> {
        until("there is a bundle, and a replica", COMPLETE_LIMIT, async || {
            ensure!(self.trust(Duration::ZERO).is_some(), "no bundle");
            ensure!(!self.endpoints(Duration::ZERO).is_empty(), "no replica");
            Ok(())
        })
        .await
    }

    /// How an API server verifies that hears of changes so late. None: it calls nobody.
    pub(super) fn trust(&self, late: Duration) -> Option<Arc<ClientConfig>> {
        self.bundles.lock().unwrap().at(late).flatten()
    }

    /// The replicas to which such an API server makes connections.
    pub(super) fn endpoints(&self, late: Duration) -> Vec<SocketAddr> {
        let known = self.endpoints.lock().unwrap().at(late).unwrap_or_default();
        known.iter().filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.address).collect()
    }

    /// Whether the replica was told to stop so long ago.
    pub(super) fn terminating(&self, replica: SocketAddr, since: Duration) -> bool {
        let known = self.endpoints.lock().unwrap().at(since).unwrap_or_default();
        known.iter().any(|endpoint| endpoint.address == replica && endpoint.terminating)
    }

    /// Follows the bundle, for ever.
    pub(super) async fn follow_bundle(self: Arc<Self>, client: Client) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(client);
        let only = Config::default().fields(&format!("metadata.name={CONFIGURATION}"));
        let mut events = watcher(configurations, only).default_backoff().boxed();
        loop {
            match events.try_next().await {
                Ok(Some(Event::Apply(object) | Event::InitApply(object))) => {
                    self.bundles.lock().unwrap().push(trust(&object));
                }
                Ok(Some(Event::Delete(_))) => self.bundles.lock().unwrap().push(None),
                // It goes on by itself.
                _ => (),
            }
        }
    }

    /// Follows the replicas, for ever.
    pub(super) async fn follow_endpoints(self: Arc<Self>, client: Client) {
        let slices: Api<EndpointSlice> = Api::namespaced(client, NAMESPACE);
        let only = Config::default().labels(&format!("kubernetes.io/service-name={SERVICE}"));
        let mut events = watcher(slices, only).default_backoff().boxed();
        let mut known = BTreeMap::new();
        loop {
            match events.try_next().await {
                Ok(Some(Event::Apply(slice) | Event::InitApply(slice))) => {
                    known.insert(slice.name_any(), endpoints(&slice));
                }
                Ok(Some(Event::Delete(slice))) => drop(known.remove(&slice.name_any())),
                _ => continue,
            }
            let all = known.values().flatten().copied().collect();
            self.endpoints.lock().unwrap().push(all);
        }
    }
}

/// How the bundle of the webhook is verified against: HTTP/1.1, and nothing is resumed.
fn trust(configuration: &MutatingWebhookConfiguration) -> Option<Arc<ClientConfig>> {
    let webhook = configuration.webhooks.as_ref()?.first()?;
    let bundle = webhook.client_config.ca_bundle.as_ref()?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&bundle.0).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates);
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Some(Arc::new(config))
}

fn endpoints(slice: &EndpointSlice) -> Vec<Endpoint> {
    let port = slice.ports.iter().flatten().find_map(|port| u16::try_from(port.port?).ok());
    let each = slice.endpoints.iter().flatten().filter_map(|endpoint| {
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        Some(Endpoint {
            address: SocketAddr::new(address, port?),
            ready: conditions.ready != Some(false),
            terminating: conditions.terminating == Some(true),
        })
    });
    each.collect()
}

/// What the manifests call it.
const CONFIGURATION: &str = "zz-berth.dev";
const NAMESPACE: &str = "berth-system";
const SERVICE: &str = "berth-webhook";
const COMPLETE_LIMIT: Duration = Duration::from_secs(60);
/// Nobody is later than that.
const FORGET: Duration = Duration::from_secs(60);

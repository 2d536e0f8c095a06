//! Where a registry is reached, and by which road: one per kind of TLS, never per credential.

mod failure;
mod tls;

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use reqwest::Url;

pub(super) use failure::{Failure, cause};
pub(super) use tls::Authorities;

use super::{
    challenge,
    egress::{BadProxy, Names, Proxies, Reach, Refusal, Road, Surroundings, authority, literal},
};
use crate::config::{self, Config, UnlistedRegistries};

/// The ways to all registries.
#[derive(Debug)]
pub(super) struct Upstreams {
    known: Vec<Known>,
    /// To hosts that the configuration does not name.
    public: Road,
    unlisted: UnlistedRegistries,
}

/// A host that the configuration names.
#[derive(Debug)]
struct Known {
    registry: config::Registry,
    endpoint: Option<Url>,
    road: Road,
    /// To its token services that have no entry of their own.
    token_road: Road,
}

/// Where one registry is reached.
#[derive(Debug)]
pub(super) struct Upstream<'a> {
    /// Scheme, host and port, and a path below which `/v2/` lies.
    pub(super) endpoint: Url,
    /// The client to ask with.
    pub(super) http: &'a reqwest::Client,
    /// As references call it.
    host: String,
    /// The configuration names it.
    known: Option<&'a Known>,
}

impl Upstream<'_> {
    /// Where its credentials may go besides itself, `HOST` or `HOST:PORT`, to be compared exactly.
    pub(super) fn token_hosts(&self) -> &[String] {
        self.known.map(|known| known.registry.token_hosts.as_slice()).unwrap_or_default()
    }
}

impl Upstreams {
    /// The ways to the registries of the configuration, to its mirrors' hosts, and to the public ones, on this machine.
    pub(super) fn new(config: &Config) -> Result<Self, ClientError> {
        let connect_limit = connect_limit(config.limits.registry_timeout);
        let names = Arc::new(Names::of_machine(connect_limit));
        let proxies = Arc::new(Proxies::of_environment()?);
        Self::within(config, &Surroundings { names, proxies, connect_limit }, &Authorities::of_machine())
    }

    /// The same, wherever that is.
    pub(super) fn within(
        config: &Config,
        around: &Surroundings,
        authorities: &Authorities,
    ) -> Result<Self, ClientError> {
        let usual = authorities.usual()?;
        let road = |reach, tls: Option<&_>| Road::new(reach, tls, around).map_err(|error| ClientError::tls(&error));
        let (inside, local) = (road(Reach::Inside, usual.as_ref())?, road(Reach::Local, usual.as_ref())?);
        let mut known = Vec::new();
        for registry in &config.registries {
            let endpoint = registry.endpoint.as_deref().map(parse_endpoint).transpose()?;
            let own =
                registry.ca_file.is_some() || registry.insecure_skip_verify || registry.client_cert_file.is_some();
            let road = match (registry.local && !registry.outside, own) {
                (true, _) => local.clone(),
                (false, false) => inside.clone(),
                (false, true) => road(Reach::Inside, authorities.setup(registry)?.as_ref())?,
            };
            // Whoever need not prove who they are at the registry must do so at its token service.
            let token_road = if registry.insecure_skip_verify { inside.clone() } else { road.clone() };
            let road = road.also_to(written(registry, endpoint.as_ref()));
            known.push(Known { registry: registry.clone(), endpoint, road, token_road });
        }
        for rule in &config.mirror.rules {
            let host = rule.mirror.split('/').next().unwrap_or_default().to_owned();
            let registry = config::Registry { host, ..config::Registry::default() };
            let road = inside.clone().also_to(written(&registry, None));
            known.push(Known { registry, endpoint: None, road, token_road: inside.clone() });
        }
        Ok(Self { known, public: road(Reach::Public, usual.as_ref())?, unlisted: config.unlisted_registries })
    }

    /// Where the registry that references call `host` is reached.
    pub(super) fn of(&self, host: &str) -> Result<Upstream<'_>, Refusal> {
        let known = self.known.iter().find(|known| known.registry.covers(host));
        let known = known.or_else(|| self.known.iter().find(|known| known.is_reached_at(host)));
        let written = known.and_then(|known| known.endpoint.clone());
        if written.is_none() && known.is_some_and(|known| known.registry.local) {
            return Err(Refusal::NoAddress);
        }
        let endpoint = written.map_or_else(|| default_endpoint(host), Ok)?;
        let http = match known {
            Some(known) => known.road.client(&endpoint)?,
            None => self.listed_only(&endpoint)?.client(&endpoint)?,
        };
        Ok(Upstream { endpoint, http, host: host.to_owned(), known })
    }

    /// The client for an address that a registry has named: of a redirect, or of a token service.
    ///
    /// Only registries that the configuration names may send Berth to others that it names: a stranger's registry must
    /// not make it talk to those inside.
    ///
    /// With `unlistedRegistries: deny` a redirect leads only to what the configuration names, too: the list of hosts
    /// that Berth contacts can then be read from the file. What it costs is small, as it asks for manifests alone, and of
    /// the large registries only `registry.k8s.io` redirects those; its storage can be listed as `*.pkg.dev`.
    /// A token service is no choice of the administrator's, so those that are built in need no entry.
    pub(super) fn client_for<'a>(&'a self, url: &Url, from: &Upstream<'a>) -> Result<&'a reqwest::Client, Refusal> {
        let Some(sender) = from.known else { return self.listed_only(url)?.client(url) };
        if url.origin() == from.endpoint.origin() {
            return sender.road.client(url);
        }
        if let Some(known) = self.known.iter().find(|known| known.is_named_by(url)) {
            return known.road.client(url);
        }
        if challenge::is_listed(url, &from.endpoint, from.token_hosts()) {
            return sender.token_road.client(url);
        }
        if challenge::is_token_service(url, &from.host) {
            return self.public.client(url);
        }
        self.listed_only(url)?.client(url)
    }

    /// The road to hosts that the configuration does not name, where there is one at all.
    fn listed_only(&self, url: &Url) -> Result<&Road, Refusal> {
        match self.unlisted {
            UnlistedRegistries::Allow => Ok(&self.public),
            UnlistedRegistries::Deny => Err(Refusal::Unlisted { host: authority(url) }),
        }
    }
}

impl Known {
    /// Whether references may call it by the address where Berth reaches it.
    fn is_reached_at(&self, host: &str) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| authority(endpoint) == host)
    }

    /// Whether `url` leads to it: where Berth reaches it, or by its own name.
    fn is_named_by(&self, url: &Url) -> bool {
        let endpoint = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.origin() == url.origin());
        endpoint || (url.scheme() == "https" && self.registry.covers(&authority(url)))
    }
}

/// The address that an entry itself writes; the one in the cluster's own `ConfigMap` is nobody's wish.
fn written(registry: &config::Registry, endpoint: Option<&Url>) -> Option<IpAddr> {
    match endpoint {
        _ if registry.local && !registry.outside || registry.host.starts_with('*') && endpoint.is_none() => None,
        Some(endpoint) => literal(endpoint),
        None => default_endpoint(&registry.host).ok().as_ref().and_then(literal),
    }
}

fn default_endpoint(host: &str) -> Result<Url, Refusal> {
    let name = if host == "docker.io" { DOCKER_HUB } else { host };
    Url::parse(&["https://", name].concat()).map_err(|_| Refusal::NoHost { host: host.to_owned() })
}

fn parse_endpoint(text: &str) -> Result<Url, ClientError> {
    let wrong = || ClientError::Endpoint { endpoint: text.to_owned() };
    let url: Url = text.parse().map_err(|_| wrong())?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if plain && url.has_host() && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(wrong()) }
}

/// How long a connection may take, from the name to TLS, of a question that may take `limit`: one that stalls must leave
/// time for another.
fn connect_limit(limit: Duration) -> Duration {
    (limit / 3).max(limit.min(SHORTEST_CONNECT))
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A file with certificates or a key cannot be read.
    #[error("the file {} cannot be read", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A `caFile` or `clientCertFile` holds no certificates.
    #[error("the file {} holds no certificates in PEM", .file.display())]
    NoCertificates {
        /// The file.
        file: PathBuf,
    },
    /// A `clientKeyFile` holds nothing that can be used.
    #[error("the file {} {reason}", .file.display())]
    KeyBroken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A `clientKeyFile` is not the key of its `clientCertFile`.
    #[error("the key in {} is not that of the certificate in {}", .key.display(), .certificate.display())]
    KeyMismatch {
        /// The `clientCertFile`.
        certificate: PathBuf,
        /// The `clientKeyFile`.
        key: PathBuf,
    },
    /// An `endpoint` is no base URL.
    #[error("the endpoint `{endpoint}` is not http:// or https:// with a host and perhaps a port and a path")]
    Endpoint {
        /// The text, as given.
        endpoint: String,
    },
    /// The environment names a proxy that cannot be used.
    #[error(transparent)]
    Proxy(#[from] BadProxy),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// The cause, in words.
        reason: String,
    },
}

impl ClientError {
    fn tls(error: &reqwest::Error) -> Self {
        Self::Tls { reason: cause(error) }
    }
}

/// Where Docker Hub's registry is.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// What a connection may take at least, as far as the question's own limit allows.
const SHORTEST_CONNECT: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;

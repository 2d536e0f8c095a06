//! The ways out, each with a reach and a kind of TLS.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{ClientBuilder, Url, redirect};
use rustls::ClientConfig;

use super::{Names, Proxies, Reach, Refusal, guard::Guard};

/// What Berth finds around itself, the same for all roads.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Surroundings {
    /// How names are looked up.
    pub(in crate::registry) names: Arc<Names>,
    /// The proxies of the environment.
    pub(in crate::registry) proxies: Arc<Proxies>,
    /// How long a connection may take until TLS stands.
    pub(in crate::registry) connect_limit: Duration,
}

/// A way out: how far, under which TLS, and whether through a proxy.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Road {
    reach: Reach,
    /// The address that the configuration itself writes; it may be any.
    written: Option<IpAddr>,
    direct: reqwest::Client,
    /// For what a proxy covers; every request of it goes through one.
    through: Option<reqwest::Client>,
    proxies: Arc<Proxies>,
    /// Somebody can vouch for a server.
    trusts: bool,
}

impl Road {
    /// A road under `tls`; none: nobody can vouch for a server.
    pub(in crate::registry) fn new(
        reach: Reach,
        tls: Option<&ClientConfig>,
        surroundings: &Surroundings,
    ) -> reqwest::Result<Self> {
        let builder = |reach| client(reach, surroundings, tls);
        let proxies = Arc::clone(&surroundings.proxies);
        let through = proxies.any().then(|| proxies.apply(builder(Reach::Proxy))?.build()).transpose()?;
        Ok(Self { reach, written: None, direct: builder(reach).build()?, through, proxies, trusts: tls.is_some() })
    }

    /// The same road, also to `address`, which the configuration itself writes.
    #[must_use]
    pub(in crate::registry) fn also_to(mut self, address: Option<IpAddr>) -> Self {
        self.written = address;
        self
    }

    /// The client for a request to `url`, if this road leads there. Every request passes here.
    pub(in crate::registry) fn client(&self, url: &Url) -> Result<&reqwest::Client, Refusal> {
        self.reach.judge_url(url, self.written)?;
        if url.scheme() == "https" && !self.trusts {
            return Err(Refusal::NoAuthorities { host: url.host_str().unwrap_or_default().to_owned() });
        }
        Ok(self.through.as_ref().filter(|_| self.proxies.covers(url)).unwrap_or(&self.direct))
    }
}

/// What all clients have in common.
///
/// HTTP/1.1 only: every request in flight has a connection of its own, so that one that stalls holds up no other.
/// Redirects are followed by Berth, which checks where they lead. Nothing is decompressed. Proxies are Berth's choice:
/// a client that has one goes through it always, so that its resolver is asked for the proxy alone.
fn client(reach: Reach, surroundings: &Surroundings, tls: Option<&ClientConfig>) -> ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(Guard::new(Arc::clone(&surroundings.names), reach))
        .connect_timeout(surroundings.connect_limit)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(if reach == Reach::Public { IDLE_IN_PUBLIC } else { IDLE });
    match tls {
        Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
        None => builder.tls_certs_only([]),
    }
}

/// Idle connections that are kept per registry.
const IDLE_CONNECTIONS: usize = 64;
/// How long one is kept.
const IDLE: Duration = Duration::from_secs(90);
/// How long one to a host is kept that only a tenant has named: there is no end of such hosts.
const IDLE_IN_PUBLIC: Duration = Duration::from_secs(20);

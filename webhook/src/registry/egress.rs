//! Where Berth may connect to: images are named by tenants, and Berth sits inside the cluster.
//!
//! Every request passes [`Road::client`], which judges the URL, and every name passes [`guard`], which judges what it
//! resolves to: so the address that is judged is the one that is dialled. The HTTP client never resolves an address that
//! is written as one, in any spelling; that one is judged by the URL.
//!
//! How far a road leads is its [`Reach`].

mod address;
mod guard;
mod names;
mod proxy;
mod road;

#[cfg(test)]
pub(super) mod name_server;

use std::net::IpAddr;

use reqwest::Url;
use url::Host;

use address::Kind;
pub(super) use names::Names;
pub use proxy::BadProxy;
pub(super) use proxy::Proxies;
pub(super) use road::{Road, Surroundings};

/// How far Berth goes for somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// For a host that the configuration does not name: https, port 443, public addresses.
    Public,
    /// For a host that it names: also where the cluster has its own addresses, but not this machine nor the cloud's
    /// metadata, unless exactly that address is written there.
    Inside,
    /// For the local registry that the cluster's own `ConfigMap` names: as [`Reach::Inside`], without any exception.
    Local,
    /// To the proxy: also on this machine.
    Proxy,
}

impl Reach {
    /// Judges a URL before anything is resolved; `written` is the address that the configuration itself writes.
    fn judge_url(self, url: &Url, written: Option<IpAddr>) -> Result<(), Refusal> {
        let named = || authority(url); // an entry must have the port, too
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::User { host: named() });
        }
        match (literal(url), url.domain()) {
            (Some(address), _) if written == Some(address) => {}
            (Some(address), _) => self.judge(&named(), address)?,
            (None, Some(name)) if self == Self::Public && is_local(name) => {
                return Err(Refusal::LocalName { host: named() });
            }
            (None, Some(_)) => {}
            (None, None) => return Err(Refusal::NoHost { host: named() }),
        }
        match (self, url.scheme(), url.port()) {
            (Self::Public, "https", Some(port)) => {
                Err(Refusal::Port { host: url.host_str().unwrap_or_default().to_owned(), port })
            }
            (_, "https", _) | (Self::Inside | Self::Local | Self::Proxy, "http", _) => Ok(()), // 443 is no port of a URL
            (Self::Public, ..) => Err(Refusal::PlainHttp { host: named() }),
            (Self::Inside | Self::Local | Self::Proxy, ..) => Err(Refusal::NoHost { host: named() }),
        }
    }

    /// Judges an address of `host`.
    fn judge(self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let (kind, host) = (Kind::of(address), host.to_owned());
        match self {
            Self::Public if kind != Kind::Public => Err(Refusal::Address { host, address, kind }),
            Self::Inside if kind.is_this_machine() => Err(Refusal::Here { host, address, kind }),
            Self::Local if kind.is_this_machine() => Err(Refusal::LocalRegistry { host, address, kind }),
            Self::Proxy if kind.is_this_machine() && kind != Kind::Loopback => {
                Err(Refusal::Proxy { host, address, kind })
            }
            Self::Public | Self::Inside | Self::Local | Self::Proxy => Ok(()),
        }
    }
}

/// The address that is written in `url`, in whatever spelling: what the HTTP client dials without resolving anything.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// `HOST` or `HOST:PORT`, as references write it.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether only this machine, this cluster or this site gives `name` a meaning.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    !name.contains('.') || LOCAL.iter().any(|domain| name.ends_with(domain))
}

/// Why Berth does not connect. Each says first what to do: the end may be cut where people read it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    /// The address is not a public one.
    #[error("add {host} to `registries` if you mean it: {address} is {kind}")]
    Address { host: String, address: IpAddr, kind: Kind },
    /// A name without a meaning on the internet.
    #[error("add {host} to `registries` if you mean it: it is a local name")]
    LocalName { host: String },
    /// No TLS.
    #[error("add {host} to `registries` if you mean it: other hosts are not asked over plain http")]
    PlainHttp { host: String },
    /// A port that is not https's.
    #[error("add {host}:{port} to `registries` if you mean it: other hosts are asked at port 443 only")]
    Port { host: String, port: u16 },
    /// The configuration allows the registries that it names, and no others.
    #[error("add {host} to `registries` if you mean it: `unlistedRegistries` is `deny`")]
    Unlisted { host: String },
    /// A name in the configuration leads to Berth's own machine.
    #[error("set the `endpoint` of {host} to an address if you mean it: it leads to {address}, {kind}")]
    Here { host: String, address: IpAddr, kind: Kind },
    /// The cluster's local registry is said to be where none can be.
    #[error("add it to `registries`: the cluster says that it is at {host}, which is {address}, {kind}")]
    LocalRegistry { host: String, address: IpAddr, kind: Kind },
    /// The cluster does not say where its local registry is for Pods. Short, because the line to add must not be cut.
    #[error("add `hostFromClusterNetwork` to local-registry-hosting")]
    NoAddress,
    /// The proxy's name leads to where no proxy is.
    #[error("look at HTTPS_PROXY: the proxy {host} is at {address}, {kind}")]
    Proxy { host: String, address: IpAddr, kind: Kind },
    /// No authority could vouch for anybody.
    #[error("give {host} a `caFile`, or mount certificate authorities: Berth found none on its machine")]
    NoAuthorities { host: String },
    /// Somebody tries to choose Berth's credentials.
    #[error("it names {host} with a user in it")]
    User { host: String },
    /// A name that the grammar of references allows and that of URLs does not.
    #[error("{host} is no host")]
    NoHost { host: String },
}

/// Domains with a meaning only here: RFC 6761, 6762, ICANN's `internal`, and a cluster's own.
const LOCAL: [&str; 5] = [".localhost", ".local", ".internal", ".svc", ".cluster.local"];

#[cfg(test)]
mod tests;

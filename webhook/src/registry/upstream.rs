//! Where a registry is reached, and by which HTTP client: one client per kind of TLS, never per credential.

use std::{error::Error as _, fs, path::PathBuf};

use reqwest::{Certificate, ClientBuilder, Url, redirect};

use super::egress::{Guard, Refusal, check_url};
use crate::config;

/// The ways to all registries.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// For hosts that the configuration does not name.
    guarded: reqwest::Client,
    known: Vec<Known>,
}

/// A host that the configuration names; it may be anywhere.
#[derive(Debug)]
struct Known {
    registry: config::Registry,
    endpoint: Option<Url>,
    http: reqwest::Client,
}

/// Where one registry is reached.
#[derive(Debug)]
pub(super) struct Upstream<'a> {
    /// Scheme, host and port, and a path below which `/v2/` lies.
    pub(super) endpoint: Url,
    /// The client to ask with.
    pub(super) http: &'a reqwest::Client,
    /// The configuration names it.
    known: bool,
}

impl Upstreams {
    /// The ways to the registries of the configuration, to its mirrors' hosts, and to the public ones.
    pub(super) fn new(registries: &[config::Registry], mirrors: &[config::Rule]) -> Result<Self, ClientError> {
        let open = build(client())?;
        let mut known = Vec::new();
        for registry in registries {
            let endpoint = registry.endpoint.as_deref().map(parse_endpoint).transpose()?;
            let http = if registry.ca_file.is_some() || registry.insecure_skip_verify {
                build(special(registry)?).map_err(|error| match &registry.ca_file {
                    Some(file) => ClientError::CaBroken { file: file.clone() }, // certificates are parsed only here
                    None => error,
                })?
            } else {
                open.clone()
            };
            known.push(Known { registry: registry.clone(), endpoint, http });
        }
        for rule in mirrors {
            let host = rule.mirror.split('/').next().unwrap_or_default().to_owned();
            let registry = config::Registry { host, ..config::Registry::default() };
            known.push(Known { registry, endpoint: None, http: open.clone() });
        }
        Ok(Self { guarded: build(client().dns_resolver(Guard))?, known })
    }

    /// Where the registry that references call `host` is reached.
    pub(super) fn of(&self, host: &str) -> Result<Upstream<'_>, Refusal> {
        if let Some(known) = self.known.iter().find(|known| known.registry.covers(host)) {
            let endpoint = known.endpoint.clone().map_or_else(|| default_endpoint(host), Ok)?;
            return Ok(Upstream { endpoint, http: &known.http, known: true });
        }
        let endpoint = default_endpoint(host)?;
        check_url(&endpoint)?;
        Ok(Upstream { endpoint, http: &self.guarded, known: false })
    }

    /// The client for an address that a registry has named: of a redirect, or of a token service.
    ///
    /// Only registries that the configuration names may send Berth to others that it names: a stranger's registry must
    /// not make it talk to those inside.
    pub(super) fn client_for(&self, url: &Url, from: &Upstream<'_>) -> Result<&reqwest::Client, Refusal> {
        let host = url.host_str().unwrap_or_default();
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let named = |known: &&Known| match &known.endpoint {
            Some(endpoint) if endpoint.origin() == url.origin() => true,
            _ => url.scheme() == "https" && known.registry.covers(&name),
        };
        if let Some(known) = self.known.iter().filter(|_| from.known).find(named) {
            return Ok(&known.http);
        }
        check_url(url)?;
        Ok(&self.guarded)
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

/// What all clients have in common.
///
/// HTTP/1.1 only: every request in flight has a connection of its own, so that one that stalls holds up no other.
/// Redirects are followed by Berth, which checks where they lead. Nothing is decompressed.
fn client() -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
}

fn special(registry: &config::Registry) -> Result<ClientBuilder, ClientError> {
    let mut builder = client().tls_danger_accept_invalid_certs(registry.insecure_skip_verify);
    if let Some(file) = &registry.ca_file {
        let pem = fs::read(file).map_err(|source| ClientError::CaUnreadable { file: file.clone(), source })?;
        let broken = || ClientError::CaBroken { file: file.clone() };
        let roots = Certificate::from_pem_bundle(&pem).map_err(|_| broken())?;
        if roots.is_empty() {
            return Err(broken());
        }
        builder = builder.tls_certs_only(roots);
    }
    Ok(builder)
}

fn build(builder: ClientBuilder) -> Result<reqwest::Client, ClientError> {
    builder.build().map_err(|error| ClientError::Tls { reason: cause(&error) })
}

/// The innermost cause of a failed request, in words: what is above it says only that the request failed, and where to.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_none() { "the request failed".to_owned() } else { cause.to_string() }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A `caFile` cannot be read.
    #[error("the file {} with certificate authorities cannot be read", .file.display())]
    CaUnreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A `caFile` holds no certificates.
    #[error("the file {} holds no certificates in PEM", .file.display())]
    CaBroken {
        /// The file.
        file: PathBuf,
    },
    /// An `endpoint` is no base URL.
    #[error("the endpoint `{endpoint}` is not http:// or https:// with a host and perhaps a port and a path")]
    Endpoint {
        /// The text, as given.
        endpoint: String,
    },
    /// TLS cannot be set up: most often, the machine has no certificate authorities.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// The cause, in words.
        reason: String,
    },
}

/// Where Docker Hub's registry is.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// Idle connections that are kept per registry.
const IDLE_CONNECTIONS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    /// Which host `image` would be asked at.
    fn asked(upstreams: &Upstreams, image: &str) -> Result<String, String> {
        let image: Reference = image.parse().map_err(|error: crate::image::ParseError| error.to_string())?;
        let upstream = upstreams.of(image.host()).map_err(|refusal| refusal.to_string())?;
        Ok(upstream.endpoint.origin().ascii_serialization())
    }

    fn entry(host: &str, endpoint: Option<&str>) -> config::Registry {
        let endpoint = endpoint.map(str::to_owned);
        config::Registry { host: host.to_owned(), endpoint, ..config::Registry::default() }
    }

    #[test]
    fn an_image_is_asked_at_the_host_that_it_names() {
        let upstreams = Upstreams::new(&[], &[]).unwrap();
        for (image, want) in [
            ("nginx", "https://registry-1.docker.io"),
            ("index.docker.io/nginx", "https://registry-1.docker.io"),
            ("ghcr.io/app", "https://ghcr.io"),
            ("GHCR.io/app", "https://ghcr.io"),
            ("Foo/app", "https://foo"),
            ("ghcr.io:443/app", "https://ghcr.io"),
            ("8.8.8.8/app", "https://8.8.8.8"),
            ("mirror.internal.evil.com/app", "https://mirror.internal.evil.com"),
        ] {
            assert_eq!(asked(&upstreams, image), Ok(want.to_owned()), "image: {image}");
        }
        for image in
            ["ghcr.io:99999/app", "ghcr.io:8443/app", "[abcdef]:443/app", "[:::]/app", "1.2.3.4.5/app", "256.1.1.1/app"]
        {
            let told = asked(&upstreams, image);
            assert!(told.is_err(), "image: {image}: {told:?}");
        }
    }

    #[test]
    fn a_configured_host_is_found_exactly_or_by_whole_labels() {
        let entries = [
            entry("mirror.internal", Some("http://10.0.0.1:5000")),
            entry("*.team.example", None),
            entry("docker.io", None),
            entry("localhost:30500", Some("http://registry.kube-system.svc:5000")),
        ];
        let upstreams = Upstreams::new(&entries, &[]).unwrap();
        for (image, want) in [
            ("mirror.internal/app", "http://10.0.0.1:5000"),
            ("mirror.internal.evil.com/app", "https://mirror.internal.evil.com"),
            ("evil-mirror.internal/app", "https://evil-mirror.internal"),
            ("a.team.example/app", "https://a.team.example"),
            ("team.example/app", "https://team.example"),
            ("nginx", "https://registry-1.docker.io"),
            ("localhost:30500/app", "http://registry.kube-system.svc:5000"),
        ] {
            assert_eq!(asked(&upstreams, image), Ok(want.to_owned()), "image: {image}");
        }
        assert!(asked(&upstreams, "localhost:30501/app").is_err());
    }

    #[test]
    fn a_strangers_registry_does_not_send_berth_inside() {
        let entries = [entry("localhost:30500", Some("http://registry.svc:5000")), entry("harbor.local", None)];
        let upstreams = Upstreams::new(&entries, &[]).unwrap();
        let goes = |from: &str, to: &str| {
            let from = upstreams.of(from).unwrap();
            upstreams.client_for(&to.parse().unwrap(), &from).is_ok()
        };
        assert!(goes("localhost:30500", "http://registry.svc:5000/token"));
        assert!(goes("localhost:30500", "https://localhost:30500/token"));
        assert!(goes("harbor.local", "http://registry.svc:5000/token"));
        assert!(!goes("harbor.local", "http://registry.svc:5001/token"));
        assert!(!goes("evil.example", "http://registry.svc:5000/token"));
        assert!(!goes("evil.example", "https://localhost:30500/token"));
        assert!(!goes("evil.example", "https://10.0.0.1/token"));
        // By name, but through the client that dials public addresses only.
        let evil = upstreams.of("evil.example").unwrap();
        let client = upstreams.client_for(&"https://harbor.local/token".parse().unwrap(), &evil).unwrap();
        assert!(std::ptr::eq(client, &raw const upstreams.guarded));
    }
}

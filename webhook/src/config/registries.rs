//! `registries:` — what Berth must know of a registry besides its name.

use std::{cmp::Reverse, path::PathBuf};

use http::Uri;

use super::{
    section::{Content, Section},
    value,
    yaml::Value,
};
use crate::image::Reference;

/// One entry of `registries`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Registry {
    /// The host as written in references (`localhost:30500`); a leading `*.` stands for one or more labels.
    pub host: String,
    /// Where Berth reaches it: scheme, host and port. `https://HOST` by default.
    pub endpoint: Option<String>,
    /// The only certificate authorities that count for it, PEM.
    pub ca_file: Option<PathBuf>,
    /// The certificate that Berth shows it, PEM, and its key: both or neither.
    pub client_cert_file: Option<PathBuf>,
    /// The key of `client_cert_file`, PEM.
    pub client_key_file: Option<PathBuf>,
    /// Accept any certificate of this registry.
    pub insecure_skip_verify: bool,
    /// Hosts of token services that may see this registry's credentials, besides itself; compared exactly.
    pub token_hosts: Vec<String>,
    /// It is the cluster's local registry: it may be at a private address, and nothing more.
    pub local: bool,
    /// Berth runs for a person outside the cluster: its local registry may be on that person's machine.
    pub outside: bool,
}

impl Registry {
    /// Reads one entry; `known` are the hosts of the entries before it, with their lines.
    pub(super) fn read(mut section: Section<'_, '_>, known: &mut Vec<(String, u64)>) -> Option<Self> {
        let host = section.required("host", "localhost:30500", host);
        let endpoint = section.value("endpoint", written_endpoint);
        let ca_file = section.file("caFile", Content::Certificates);
        let insecure_skip_verify = section.value("insecureSkipVerify", value::boolean).unwrap_or(false);
        let client_cert_file = section.file("clientCertFile", Content::Certificates);
        let client_key_file = section.file("clientKeyFile", Content::Key);
        let token_hosts = section.list("tokenHosts", token_host).unwrap_or_default();
        let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"));
        if plain && ca_file.is_some() {
            section.error("caFile", "a plain `http` endpoint has no certificate; remove one of the two");
        }
        if insecure_skip_verify && (plain || ca_file.is_some()) {
            section
                .error("insecureSkipVerify", "it contradicts `caFile` and a plain `http` endpoint; keep one of them");
        }
        if client_cert_file.is_some() != client_key_file.is_some() {
            let missing = if client_key_file.is_none() { "clientKeyFile" } else { "clientCertFile" };
            section.error(missing, "it is missing: `clientCertFile` and `clientKeyFile` are given together");
        }
        if let Some((_, line)) = known.iter().find(|(other, _)| Some(other) == host.as_ref()) {
            section.error("host", format!("line {line} describes the same host; put all about it into one entry"));
        }
        known.extend(host.iter().map(|host| (host.clone(), section.place_of("host").line())));
        section.finish();
        Some(Self {
            host: host?,
            endpoint,
            ca_file,
            client_cert_file,
            client_key_file,
            insecure_skip_verify,
            token_hosts,
            local: false,
            outside: false,
        })
    }

    /// Sorts the more specific host first: a host itself before patterns, a longer pattern before a shorter one.
    pub(super) fn specificity(&self) -> impl Ord + use<> {
        (self.host.starts_with('*'), Reverse(self.host.len()))
    }

    /// Whether this entry is about `host`, compared exactly or, with `*.`, by whole labels.
    pub fn covers(&self, host: &str) -> bool {
        match self.host.strip_prefix('*') {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|label| !label.is_empty()),
            None => self.host == host,
        }
    }
}

/// The host of a token service, exactly.
fn token_host(value: &Value) -> Result<String, String> {
    let text = value::text(value)?;
    let valid = ["https://", text].concat().parse::<Uri>().is_ok_and(|uri| {
        uri.authority().is_some_and(|authority| authority.as_str() == text && !text.contains(['@', '*']))
    });
    if valid {
        return Ok(text.to_owned());
    }
    Err(format!("{} is not the host of a token service, as in `auth.example.com`", value.describe()))
}

/// A host as it stands in references, or `*.` and a domain.
fn host(value: &Value) -> Result<String, String> {
    let text = value::text(value)?;
    if text == "index.docker.io" {
        return Err("`index.docker.io` is an old name of `docker.io`; write that".to_owned());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    // `*.` needs no second dot after it: `*.internal` is as good as `*.example.com`.
    let domain = name != text
        && [name, "/x"].concat().parse::<Reference>().is_ok_and(|image| image.path() == [name, "/x"].concat());
    if (is_host(name) || domain) && !name.contains('/') {
        return Ok(text.to_owned());
    }
    Err(format!("{} is not a host as in `localhost:30500`, `harbor.example` or `*.example.com`", value.describe()))
}

/// Whether `text` is a host, perhaps with a port, as it stands in references.
pub(super) fn is_host(text: &str) -> bool {
    !text.contains('/') && [text, "/x"].concat().parse::<Reference>().is_ok_and(|image| image.host() == text)
}

fn written_endpoint(value: &Value) -> Result<String, String> {
    let right = "a URL of scheme and host alone, as in `http://registry.kube-system.svc:5000`";
    endpoint(value::text(value)?).ok_or_else(|| format!("{} is not {right}", value.describe()))
}

/// `http://HOST[:PORT]` or `https://HOST[:PORT]`, and none for anything else.
pub(super) fn endpoint(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")))?;
    let bare = !authority.as_str().contains('@') && !authority.host().is_empty();
    let end = uri.path() == "/" && uri.query().is_none() && !text.contains('#');
    (bare && end).then(|| text.trim_end_matches('/').to_owned())
}

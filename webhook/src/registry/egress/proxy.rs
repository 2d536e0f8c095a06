//! The proxy of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.

use std::{env, fmt};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, Url};

use super::{address::Kind, literal};

/// Which requests go through which proxy.
#[derive(Default)]
pub(in crate::registry) struct Proxies {
    /// For `https://`, and for `http://`. The URLs may hold a password.
    https: Option<Url>,
    http: Option<Url>,
    /// Says which hosts are left out.
    matcher: Option<Matcher>,
}

impl Proxies {
    /// The proxies of the environment, as curl, Go and the kubelet read it; upper case goes first.
    pub(in crate::registry) fn of_environment() -> Result<Self, BadProxy> {
        Self::read(|name| env::var(name).ok())
    }

    /// The same, from variables that `variable` looks up.
    pub(in crate::registry) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadProxy> {
        let filled =
            |name: &'static str| variable(name).filter(|text| !text.trim().is_empty()).map(|text| (name, text));
        let proxy = |names: [&'static str; 2]| {
            let found = names.into_iter().find_map(filled);
            found.map(|(variable, text)| parse(text.trim()).map_err(|reason| BadProxy { variable, reason })).transpose()
        };
        let https = proxy(["HTTPS_PROXY", "https_proxy"])?;
        let http = proxy(["HTTP_PROXY", "http_proxy"])?;
        if https.is_none() && http.is_none() {
            return Ok(Self::default());
        }
        let left_out = ["NO_PROXY", "no_proxy"].into_iter().find_map(filled).map(|(_, text)| text);
        let matcher = Matcher::builder()
            .https(https.as_ref().map(ToString::to_string).unwrap_or_default())
            .http(http.as_ref().map(ToString::to_string).unwrap_or_default())
            .no(left_out.unwrap_or_default());
        Ok(Self { https, http, matcher: Some(matcher.build()) })
    }

    /// Whether a request to `url` goes through a proxy. This machine is never asked through one.
    pub(in crate::registry) fn covers(&self, url: &Url) -> bool {
        let Some(matcher) = &self.matcher else { return false };
        let here = match (literal(url), url.domain()) {
            (Some(address), _) => Kind::of(address).is_this_machine(),
            (None, name) => name.is_none_or(|name| name == "localhost" || name.ends_with(".localhost")),
        };
        !here && url.as_str().parse().is_ok_and(|uri| matcher.intercept(&uri).is_some())
    }

    /// Whether there are any.
    pub(in crate::registry) fn any(&self) -> bool {
        self.matcher.is_some()
    }

    /// A client that asks whatever it is asked through them.
    pub(in crate::registry) fn apply(&self, mut builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        if let Some(url) = &self.https {
            builder = builder.proxy(reqwest::Proxy::https(url.clone())?);
        }
        if let Some(url) = &self.http {
            builder = builder.proxy(reqwest::Proxy::http(url.clone())?);
        }
        Ok(builder)
    }
}

/// Without the password.
impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| url.as_ref().map(|url| url.origin().ascii_serialization());
        formatter
            .debug_struct("Proxies")
            .field("https", &host(&self.https))
            .field("http", &host(&self.http))
            .finish_non_exhaustive()
    }
}

/// A proxy as it stands in the environment; without a scheme it is one over plain HTTP, as everywhere.
fn parse(text: &str) -> Result<Url, &'static str> {
    let text = if text.contains("://") { text.to_owned() } else { ["http://", text].concat() };
    let url = Url::parse(&text).map_err(|_| "is no URL as in `http://proxy.example:3128`")?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("is neither an `http://` nor an `https://` proxy, as in `http://proxy.example:3128`"),
    }
}

/// A proxy that cannot be used. What was written is left out: it may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the environment variable {variable} {reason}")]
pub struct BadProxy {
    /// The variable's name.
    pub variable: &'static str,
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, BadProxy> {
        let found = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, text)| String::from(*text));
        Proxies::read(found)
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], through: &[&str], directly: &[&str]) {
        let proxies = read(variables).unwrap();
        for (urls, want) in [(through, true), (directly, false)] {
            for url in urls {
                assert_eq!(proxies.covers(&url.parse().unwrap()), want, "{url} with {variables:?}");
            }
        }
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_counts_too() {
        let (secure, plain) = ("https://ghcr.io/v2/", "http://registry.svc:5000/v2/");
        check(&[], &[], &[secure, plain]);
        check(&[("HTTPS_PROXY", "http://proxy:3128")], &[secure], &[plain]);
        check(&[("https_proxy", "proxy:3128")], &[secure], &[plain]);
        check(&[("HTTP_PROXY", "http://proxy:3128")], &[plain], &[secure]);
        check(&[("HTTPS_PROXY", " "), ("NO_PROXY", "*")], &[], &[secure, plain]);
    }

    #[test]
    fn no_proxy_leaves_out_names_domains_and_networks() {
        let no = "registry.example, .svc,10.0.0.0/8,192.0.2.7,cluster.local";
        let variables = [("HTTPS_PROXY", "http://proxy:3128"), ("HTTP_PROXY", "http://proxy:3128"), ("NO_PROXY", no)];
        let through = ["https://ghcr.io/", "https://notregistry.example/", "https://192.0.2.8/", "https://11.0.0.1/"];
        let directly = [
            "https://registry.example/",
            "https://sub.registry.example:8443/",
            "http://registry.kube-system.svc:5000/",
            "https://10.1.2.3/",
            "https://192.0.2.7:5000/",
            "http://a.cluster.local/",
        ];
        check(&variables, &through, &directly);
        check(&[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", "*")], &[], &["https://ghcr.io/"]);
    }

    #[test]
    fn this_machine_is_never_asked_through_a_proxy() {
        let variables = [("HTTPS_PROXY", "http://proxy:3128"), ("HTTP_PROXY", "http://proxy:3128")];
        let here = ["http://127.0.0.1:5000/", "http://localhost:5000/", "https://[::1]/", "http://a.localhost/"];
        check(&variables, &["http://10.0.0.1:5000/"], &here);
    }

    #[test]
    fn a_bad_proxy_is_named_without_its_password() {
        let url = "is no URL as in `http://proxy.example:3128`";
        let scheme = "is neither an `http://` nor an `https://` proxy, as in `http://proxy.example:3128`";
        for (text, reason) in [
            ("http://user:hunter2@proxy:99999", url),
            ("http://user:hunter2@", url),
            ("http://", url),
            ("socks5://user:hunter2@proxy:1080", scheme),
            ("file:///etc/passwd", scheme),
        ] {
            let error = read(&[("https_proxy", text)]).unwrap_err();
            assert_eq!(error.to_string(), format!("the environment variable https_proxy {reason}"), "proxy: {text}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        let proxies = read(&[("HTTPS_PROXY", "http://user:hunter2@proxy:3128")]).unwrap();
        assert_eq!(format!("{proxies:?}"), r#"Proxies { https: Some("http://proxy:3128"), http: None, .. }"#);
    }
}

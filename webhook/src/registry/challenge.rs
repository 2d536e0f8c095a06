//! What a registry asks for in `WWW-Authenticate`, and who may see credentials for it.

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use http_auth::{ChallengeParser, ChallengeRef};
use reqwest::Url;

use super::answer::quoted;

/// How a registry wants to be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Challenge {
    /// By a token from a token service.
    Bearer(Bearer),
    /// By name and password.
    Basic,
}

/// Where a token comes from.
///
/// # Source
/// `distribution/distribution`, "Token Authentication Specification".
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bearer {
    /// The token service, as given.
    pub(super) realm: String,
    /// Who the token is for.
    pub(super) service: Option<String>,
}

impl Challenge {
    /// Whether the registry says that a token is none of its token service's: their keys, names or clocks differ.
    ///
    /// # Source
    /// RFC 6750, 3.1: `insufficient_scope` is what a token has that is good, and not for this.
    pub(super) fn says_invalid_token(headers: &HeaderMap) -> bool {
        let texts = texts(headers);
        challenges(&texts).any(|challenge| parameter(&challenge, "error").as_deref() == Some("invalid_token"))
    }

    /// The challenge to answer, a token's before a password's; none where there is none that Berth understands.
    pub(super) fn choose(headers: &HeaderMap) -> Option<Self> {
        let (texts, mut basic) = (texts(headers), None);
        for challenge in challenges(&texts) {
            let value = |name| parameter(&challenge, name);
            if challenge.scheme.eq_ignore_ascii_case("Bearer") {
                let Some(realm) = value("realm") else { continue };
                return Some(Self::Bearer(Bearer { realm, service: value("service") }));
            }
            if challenge.scheme.eq_ignore_ascii_case("Basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

/// What stands in the headers. Letters beyond ASCII, as people write them into the realm of Basic, become spaces: they
/// spoil nothing, and lead nowhere, because no host has a space.
fn texts(headers: &HeaderMap) -> Vec<String> {
    let ascii = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { ' ' };
    headers.get_all(WWW_AUTHENTICATE).iter().map(|value| value.as_bytes().iter().map(ascii).collect()).collect()
}

/// The challenges in each text, as far as it can be read: Docker and containerd read no further, either.
fn challenges(texts: &[String]) -> impl Iterator<Item = ChallengeRef<'_>> {
    texts.iter().flat_map(|text| ChallengeParser::new(text).map_while(Result::ok))
}

fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let (_, value) = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.to_unescaped())
}

impl Bearer {
    /// The token service's address, without a query of Berth's.
    ///
    /// # Errors
    /// What is wrong with it: no URL, a user in it, or no TLS although the registry has it.
    pub(super) fn service_url(&self, endpoint: &Url) -> Result<Url, String> {
        let realm = quoted(&self.realm);
        let url: Url = self.realm.parse().map_err(|_| format!("its token service {realm} is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("its token service {realm} has a user in it"));
        }
        match (endpoint.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => Ok(url),
            _ => Err(format!("its token service {realm} is not asked without TLS")),
        }
    }
}

/// Whether the credentials of the registry `host`, reached at `endpoint`, may be sent to `service`.
///
/// Exactly the registry's host, its endpoint, what the configuration lists for it, or a short list that is built in;
/// never by the registrable domain, because `azurecr.io` is everybody's.
pub(super) fn may_see_credentials(service: &Url, host: &str, endpoint: &Url, token_hosts: &[String]) -> bool {
    let same_endpoint = service.origin() == endpoint.origin();
    let listed = is_listed(service, endpoint, token_hosts);
    same_endpoint || is_at(service, "https", host) || listed || is_token_service(service, host)
}

/// Whether `service` is among the `token_hosts` of the registry at `endpoint`: without TLS only where that has none.
pub(super) fn is_listed(service: &Url, endpoint: &Url, token_hosts: &[String]) -> bool {
    let scheme = if endpoint.scheme() == "http" { service.scheme() } else { "https" };
    token_hosts.iter().any(|listed| is_at(service, scheme, listed))
}

/// Whether `service` is known to be the token service of the registry `host`.
pub(super) fn is_token_service(service: &Url, host: &str) -> bool {
    TOKEN_SERVICES.iter().any(|(registry, name)| *registry == host && is_at(service, "https", name))
}

/// Whether `service` is at exactly this scheme, host and port.
fn is_at(service: &Url, scheme: &str, host: &str) -> bool {
    Url::parse(&[scheme, "://", host].concat()).is_ok_and(|url| url.origin() == service.origin())
}

/// Registries whose token service has another name.
const TOKEN_SERVICES: [(&str, &str); 2] = [("docker.io", "auth.docker.io"), ("registry.gitlab.com", "gitlab.com")];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn bearer(realm: &str) -> Bearer {
        Bearer { realm: realm.to_owned(), service: None }
    }

    #[track_caller]
    fn check(values: &[&str], want: Option<&Challenge>) {
        let headers =
            values.iter().map(|value| (WWW_AUTHENTICATE, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect();
        assert_eq!(Challenge::choose(&headers).as_ref(), want, "headers: {values:?}");
    }

    #[test]
    fn a_token_goes_before_a_password() {
        let full = Challenge::Bearer(Bearer {
            realm: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
        });
        let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        check(&[text], Some(&full));
        check(&["Basic realm=\"x\"", text], Some(&full));
        check(&[&format!("Basic realm=\"x\", {text}")], Some(&full));
        check(&["bearer REALM=\"https://a/t\""], Some(&Challenge::Bearer(bearer("https://a/t"))));
        check(&["Basic realm=\"Registry Realm\""], Some(&Challenge::Basic));
        check(&["Negotiate abc==", "Basic realm=\"x\""], Some(&Challenge::Basic));
        check(&["Basic realm=\"x\", Negotiate abc=="], Some(&Challenge::Basic));
        check(&["Basic realm=\"Zugang für Entwickler\""], Some(&Challenge::Basic));
        check(&["Bearer service=\"without realm\""], None);
        check(&["Bearer realm=\"unterminated"], None);
        check(&["Bearer realm=\"https://aü.example/t\""], Some(&Challenge::Bearer(bearer("https://a  .example/t"))));
        check(&["", "Digest realm=\"x\", nonce=\"y\""], None);
        check(&[], None);
    }

    #[track_caller]
    fn check_service(realm: &str, endpoint: &str, want: Result<(), &str>) {
        let got = bearer(realm).service_url(&endpoint.parse().unwrap()).map(drop);
        assert_eq!(got, want.map_err(str::to_owned), "realm: {realm}");
    }

    #[test]
    fn a_token_service_has_tls_unless_the_registry_has_none_either() {
        check_service("https://auth.example/token", "https://reg.example", Ok(()));
        check_service("http://localhost:5001/token", "http://localhost:5000", Ok(()));
        let plain = "its token service `http://auth.example/token` is not asked without TLS";
        check_service("http://auth.example/token", "https://auth.example", Err(plain));
        check_service("http://auth.example/token", "http://reg.example", Ok(()));
        let user = "its token service `https://a@auth.example/` has a user in it";
        check_service("https://a@auth.example/", "https://reg.example", Err(user));
        check_service("/token", "https://reg.example", Err("its token service `/token` is no URL"));
        let strange = "its token service `https://a  .example/t` is no URL";
        check_service("https://a  .example/t", "https://reg.example", Err(strange));
        let file = "its token service `file:///etc/passwd` is not asked without TLS";
        check_service("file:///etc/passwd", "https://reg.example", Err(file));
    }

    #[track_caller]
    fn check_trust(service: &str, host: &str, endpoint: &str, token_hosts: &[&str], want: bool) {
        let (service, endpoint) = (service.parse().unwrap(), endpoint.parse().unwrap());
        let token_hosts: Vec<_> = token_hosts.iter().map(|host| String::from(*host)).collect();
        let got = may_see_credentials(&service, host, &endpoint, &token_hosts);
        assert_eq!(got, want, "service: {service}, registry: {host}");
    }

    #[test]
    fn credentials_go_to_the_registry_and_its_own_token_service() {
        let check = |service, host, endpoint, want| check_trust(service, host, endpoint, &[], want);
        let hub = "https://registry-1.docker.io";
        check("https://auth.docker.io/token", "docker.io", hub, true);
        check("https://auth.docker.io.evil.example/token", "docker.io", hub, false);
        check("https://auth.docker.io:8443/token", "docker.io", hub, false);
        check("https://auth.docker.io/token", "ghcr.io", "https://ghcr.io", false);
        check("https://ghcr.io/token", "ghcr.io", "https://ghcr.io", true);
        check("https://GHCR.io:443/token", "ghcr.io", "https://ghcr.io", true);
        check("https://gitlab.com/jwt/auth", "registry.gitlab.com", "https://registry.gitlab.com", true);
        check("https://b.azurecr.io/oauth2/token", "a.azurecr.io", "https://a.azurecr.io", false);
        check("http://reg.svc:5000/token", "localhost:30500", "http://reg.svc:5000", true);
        check("http://reg.svc:5001/token", "localhost:30500", "http://reg.svc:5000", false);
        check("https://localhost:30500/token", "localhost:30500", "http://reg.svc:5000", true);
        check("http://localhost:30500/token", "localhost:30500", "http://reg.svc:5000", false);
    }

    #[test]
    fn what_is_listed_for_a_registry_sees_its_credentials_too() {
        let listed = ["auth.corp.example", "sso.corp.example:8443"];
        let check = |service, want| check_trust(service, "reg.corp.example", "https://reg.corp.example", &listed, want);
        check("https://auth.corp.example/token", true);
        check("https://AUTH.corp.example:443/other?x=y", true);
        check("https://sso.corp.example:8443/token", true);
        check("https://sso.corp.example/token", false);
        check("https://auth.corp.example:8443/token", false);
        check("https://x.auth.corp.example/token", false);
        check("https://auth.corp.example.evil.example/token", false);
        check("https://corp.example/token", false);
        let plain =
            |service, want| check_trust(service, "reg.svc:5000", "http://reg.svc:5000", &["reg.svc:5001"], want);
        plain("http://reg.svc:5001/token", true);
        plain("https://reg.svc:5001/token", true);
        plain("http://reg.svc:5002/token", false);
        check_trust("http://reg.svc:5001/token", "reg.svc:5000", "https://reg.svc:5000", &["reg.svc:5001"], false);
        check_trust("ftp://reg.svc:5001/token", "reg.svc:5000", "https://reg.svc:5000", &["reg.svc:5001"], false);
    }
}

//! Which images a name in a list of credentials covers, by the kubelet's rules.

use crate::image::Pattern;

/// A host, perhaps with `*` in its labels, perhaps a port and the beginning of a path: `*.example.com:5000/team`.
///
/// # Source
/// Kubernetes 1.36, `pkg/credentialprovider/keyring.go`: `URLsMatch`, `Add`. Go's URLs also know `?` and `[…]` as
/// something else; here a name with those is no name.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// As written, without scheme: by it the kubelet sorts.
    key: String,
    /// A pattern per label of the host's name.
    labels: Vec<Pattern>,
    port: Option<String>,
    /// Empty, or with a slash at its beginning.
    path: String,
}

impl Scope {
    /// Reads an item of `matchImages`.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let start = name.find('/').unwrap_or(name.len());
        let (host, path) = name.split_at_checked(start).unwrap_or((name, ""));
        Self::new(host, path).ok_or_else(|| format!("`{}` is no host, nor a host with a path", name.escape_debug()))
    }

    /// Reads a key of `auths`: there may be a scheme, and `/v1/` or `/v2/` says nothing about the repository.
    pub(super) fn parse_server(name: &str) -> Result<Self, String> {
        let bare = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
        let start = bare.find('/').unwrap_or(bare.len());
        let (host, path) = bare.split_at_checked(start).unwrap_or((bare, ""));
        let path = ["/v1", "/v2"]
            .iter()
            .find_map(|version| path.strip_prefix(version).filter(|rest| rest.starts_with('/')))
            .unwrap_or(path);
        let path = if path == "/" { "" } else { path };
        Self::new(host, path).ok_or_else(|| format!("`{}` is no host", name.escape_debug()))
    }

    fn new(host: &str, path: &str) -> Option<Self> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(letter) || path.contains(['?', '#', '%']) {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let (name, port) = split_port(&host);
        if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
            return None;
        }
        let labels = name.split('.').map(|label| label.parse().ok()).collect::<Option<_>>()?;
        let port = port.map(str::to_owned);
        Some(Self { key: [&host, path].concat(), labels, port, path: path.to_owned() })
    }

    /// What the kubelet sorts by, descending: so longer paths come first, and names before `*`.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the repository `path` at `host` is covered. The path is a prefix of letters, not of components.
    pub(super) fn covers(&self, host: &str, path: &str) -> bool {
        let (name, port) = split_port(host);
        let mut labels = name.split('.');
        let same_labels = self.labels.iter().all(|pattern| labels.next().is_some_and(|label| pattern.matches(label)));
        let below = self.path.strip_prefix('/').is_none_or(|prefix| path.starts_with(prefix));
        same_labels && labels.next().is_none() && self.port.as_deref() == port && below
    }
}

/// Name and port of a host; the name of an IPv6 address has its brackets.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, covered: &[&str], not: &[&str]) {
        let scope = Scope::parse(name).unwrap();
        for (images, want) in [(covered, true), (not, false)] {
            for image in images {
                let (host, path) = image.split_once('/').unwrap();
                assert_eq!(scope.covers(host, path), want, "{name} and {image}");
            }
        }
    }

    #[test]
    fn a_name_covers_what_it_covers_for_the_kubelet() {
        check("reg.example", &["reg.example/app", "reg.example/a/b"], &["reg.example:5000/app", "a.reg.example/app"]);
        check("reg.example:5000", &["reg.example:5000/app"], &["reg.example/app", "reg.example:5001/app"]);
        check("*.example", &["reg.example/app"], &["example/app", "a.b.example/app", "reg.example.com/app"]);
        check("app*.example", &["app.example/x", "app7.example/x"], &["xapp.example/x"]);
        check("*.*.example", &["a.b.example/x"], &["a.example/x"]);
        check("*", &["localhost/x"], &["reg.example/x"]);
        check("reg.*", &["reg.example/x", "reg.evil/x"], &["reg.evil.example/x"]);
        check("reg.example/team", &["reg.example/team/x", "reg.example/teams/x"], &["reg.example/x/team"]);
        check("reg.example/team/", &["reg.example/team/x"], &["reg.example/teams/x"]);
        check("REG.example", &["reg.example/x"], &[]);
        check("[::1]:5000", &["[::1]:5000/x"], &["[::1]/x", "[::2]:5000/x"]);
        check("[::1]", &["[::1]/x"], &["[::1]:5000/x"]);
        // A version is part of the path here, as in the kubelet's `matchImages`.
        check("reg.example/v2/", &["reg.example/v2/x"], &["reg.example/x"]);
    }

    #[test]
    fn a_server_may_be_written_as_an_address() {
        let key = |name: &str| Scope::parse_server(name).map(|scope| scope.key);
        for (name, want) in [
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("http://reg.example:5000", "reg.example:5000"),
            ("reg.example/", "reg.example"),
            ("https://reg.example/v2/team/app", "reg.example/team/app"),
            ("reg.example/v2team", "reg.example/v2team"),
        ] {
            assert_eq!(key(name), Ok(want.to_owned()), "{name}");
        }
        for name in ["", "https://", "/path", "a b", "user@reg.example", "reg?.example", "reg.example/a?b", "reg\n"] {
            assert!(key(name).is_err() && Scope::parse(name).is_err(), "{name:?}");
        }
        assert!(Scope::parse("https://reg.example").is_err(), "the kubelet takes it, and it covers nothing");
    }
}

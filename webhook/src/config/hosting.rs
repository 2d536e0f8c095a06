//! What a cluster says about its local registry, and what that counts for.

use super::{
    Config, LocalRegistry, Registry,
    registries::{endpoint, is_host},
    section::{Findings, Section},
    value,
    yaml::{self, Value},
};

/// The cluster's local registry, as the cluster itself describes it.
///
/// # Source
/// KEP-1755, "Specification for `LocalRegistryHosting` v1"; it is frozen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hosting {
    /// The hosts by which references name it: as people push to it and, where that differs, as nodes pull from it.
    pub hosts: Vec<String>,
    /// Where Pods reach it: scheme, host and port. Plain HTTP unless it says `https://`: the KEP is about insecure
    /// registries, and has no scheme.
    pub endpoint: Option<String>,
}

impl Hosting {
    /// Reads the YAML under the key `localRegistryHosting.v1`. Keys that the KEP does not know are no mistakes: whoever
    /// wrote them meant somebody else.
    ///
    /// # Errors
    /// All that is wrong, by line and key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let node = yaml::read(text).map_err(|error| format!("line {}: {}", error.line.max(1), error.text))?;
        let mut findings = Findings::default();
        let mut root = Section::root(Some(&node), &mut findings);
        let pushed = root.value("host", unless_empty(host)).flatten();
        let pulled = root.value("hostFromContainerRuntime", unless_empty(host)).flatten();
        let endpoint = root.value("hostFromClusterNetwork", unless_empty(address)).flatten();
        if !findings.errors.is_empty() {
            let lines: Vec<_> = findings.errors.iter().map(|finding| format!("line {finding}")).collect();
            return Err(lines.join("; "));
        }
        let mut hosts: Vec<_> = pushed.into_iter().chain(pulled).collect();
        hosts.dedup();
        Ok(Self { hosts, endpoint })
    }

    /// An entry for each host. Without an endpoint nobody knows where to ask, and that is what is told of its images.
    pub fn registries(&self) -> Vec<Registry> {
        let entry = |host: &String| Registry {
            host: host.clone(),
            endpoint: self.endpoint.clone(),
            local: true,
            ..Registry::default()
        };
        self.hosts.iter().map(entry).collect()
    }

    /// The same for a person outside the cluster: by plain HTTP where people push to it, which may be that person's own
    /// machine. `localhost` is written as its address, as an administrator would have to.
    pub fn from_outside(&self) -> Vec<Registry> {
        let Some(pushed) = self.hosts.first() else { return Vec::new() };
        let here = pushed.strip_prefix("localhost:").map(|port| ["127.0.0.1:", port].concat());
        let endpoint = ["http://", here.as_deref().unwrap_or(pushed)].concat();
        let outside = |entry| Registry { endpoint: Some(endpoint.clone()), outside: true, ..entry };
        self.registries().into_iter().map(outside).collect()
    }
}

impl Config {
    /// The same, with `local` in place of what was known of the cluster's local registry before. It counts only where the
    /// file trusts it, and for hosts that the file itself says nothing about.
    #[must_use]
    pub fn with_local(mut self, local: &[Registry]) -> Self {
        self.registries.retain(|registry| !registry.local);
        if self.local_registry == LocalRegistry::Trust {
            let written = self.registries.clone();
            let unwritten = local.iter().filter(|local| !written.iter().any(|entry| entry.covers(&local.host)));
            self.registries.extend(unwritten.cloned());
            self.registries.sort_by_key(Registry::specificity);
        }
        self
    }
}

/// Reads by `read` what is there; a key without a text is as good as none.
fn unless_empty<T>(read: impl FnOnce(&str) -> Result<T, String>) -> impl FnOnce(&Value) -> Result<Option<T>, String> {
    move |value| match value {
        Value::Null => Ok(None),
        Value::Text(text) if text.is_empty() => Ok(None),
        other => read(value::text(other)?).map(Some),
    }
}

/// A host as references write it: none of its patterns, since one registry has one name.
fn host(text: &str) -> Result<String, String> {
    if is_host(text) { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a host, as in `localhost:5001`")) }
}

/// An address as Pods reach it.
fn address(text: &str) -> Result<String, String> {
    let url = if text.contains("://") { text.to_owned() } else { ["http://", text].concat() };
    endpoint(&url).ok_or_else(|| format!("`{text}` is not a host and a port, as in `kind-registry:5000`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[track_caller]
    fn check(text: &str, want: Result<(&[&str], Option<&str>), &str>) {
        let want = want.map(|(hosts, endpoint)| Hosting {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            endpoint: endpoint.map(str::to_owned),
        });
        assert_eq!(Hosting::parse(text), want.map_err(str::to_owned), "text: {text}");
    }

    #[test]
    fn what_clusters_write_is_read() {
        // kind's documented script.
        let kind = "host: \"localhost:5001\"\nhelp: \"https://kind.sigs.k8s.io/docs/user/local-registry/\"\n";
        check(kind, Ok((&["localhost:5001"], None)));
        // The KEP's example.
        let all = "host: \"localhost:5000\"\nhostFromContainerRuntime: \"registry:5000\"\nhostFromClusterNetwork: \"kind-registry:5000\"\n";
        check(all, Ok((&["localhost:5000", "registry:5000"], Some("http://kind-registry:5000"))));
        check("{host: 'a:1', hostFromContainerRuntime: 'a:1'}", Ok((&["a:1"], None)));
        check("hostFromClusterNetwork: https://10.0.0.5", Ok((&[], Some("https://10.0.0.5"))));
        check("host: ''\nhostFromContainerRuntime:\nmore: {than: v1}\n", Ok((&[], None)));
        check("help: see elsewhere", Ok((&[], None)));
    }

    #[test]
    fn outside_the_cluster_it_is_where_people_push_to() {
        let outside = |text: &str| {
            let entries = Hosting::parse(text).unwrap().from_outside();
            entries.into_iter().map(|entry| (entry.host, entry.endpoint.unwrap(), entry.outside)).collect::<Vec<_>>()
        };
        let entry = |host: &str, endpoint: &str| (host.to_owned(), endpoint.to_owned(), true);
        assert_eq!(outside("host: 'localhost:5001'"), [entry("localhost:5001", "http://127.0.0.1:5001")]);
        let both =
            "{host: 'k3d.localhost:5000', hostFromContainerRuntime: 'k3d:5000', hostFromClusterNetwork: 'k3d:5000'}";
        let at = "http://k3d.localhost:5000";
        assert_eq!(outside(both), [entry("k3d.localhost:5000", at), entry("k3d:5000", at)]);
        assert_eq!(outside("help: me"), []);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let at = "`localhost:5001/x` is not a host, as in `localhost:5001`";
        check("host: localhost:5001/x", Err(&format!("line 1: host: {at}")));
        check("host: '*.example'", Err("line 1: host: `*.example` is not a host, as in `localhost:5001`"));
        check("host: [a]", Err("line 1: host: a list is not a text"));
        let network = "line 2: hostFromClusterNetwork: `ftp://a` is not a host and a port, as in `kind-registry:5000`";
        check("host: a:1\nhostFromClusterNetwork: ftp://a", Err(network));
        check("- a", Err("line 1: a list is not a mapping of keys and values"));
        assert!(Hosting::parse("host: [").unwrap_err().starts_with("line "));
    }

    #[test]
    fn it_counts_where_the_file_trusts_it_and_says_nothing_itself() {
        let with = |settings: &str, local: &str| {
            let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{settings}");
            let (config, _) = parse(&text, "x").unwrap();
            let before = Hosting::parse("{host: 'before:1'}").unwrap().registries();
            let config = config.with_local(&before).with_local(&Hosting::parse(local).unwrap().registries());
            let one = |entry: &Registry| format!("{} {}", entry.host, entry.endpoint.as_deref().unwrap_or("-"));
            config.registries.iter().map(one).collect::<Vec<_>>()
        };
        let local = "{host: 'localhost:5001', hostFromClusterNetwork: 'kind-registry:5000'}";
        assert_eq!(with("profile: dev", local), ["localhost:5001 http://kind-registry:5000"]);
        assert_eq!(with("localRegistry: trust", local), ["localhost:5001 http://kind-registry:5000"]);
        assert_eq!(with("profile: dev\nlocalRegistry: ignore", local), [""; 0]);
        assert_eq!(with("profile: production", local), [""; 0]);
        let written = "profile: dev\nregistries: [{host: 'localhost:5001', endpoint: 'http://own:1'}]";
        assert_eq!(with(written, local), ["localhost:5001 http://own:1"]);
        assert_eq!(with("profile: dev\nregistries: [{host: '*.a'}]", "{host: 'b.a'}"), ["*.a -"]);
        // The exact host comes before patterns.
        assert_eq!(with("profile: dev\nregistries: [{host: '*.a'}]", "{host: 'b.c'}"), ["b.c -", "*.a -"]);
    }
}

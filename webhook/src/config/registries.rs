//! `registries:` — what Berth must know of a registry besides its name.

use std::path::PathBuf;

/// One entry of `registries`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registry {
    /// The host as written in references (`localhost:30500`); a leading `*.` stands for one or more labels.
    pub host: String,
    /// Where Berth reaches it: scheme, host and port. `https://HOST` by default.
    pub endpoint: Option<String>,
    /// The only certificate authorities that count for it, PEM.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate of this registry.
    pub insecure_skip_verify: bool,
}

impl Registry {
    /// Whether this entry is about `host`, compared exactly or, with `*.`, by whole labels.
    pub fn covers(&self, host: &str) -> bool {
        match self.host.strip_prefix('*') {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|label| !label.is_empty()),
            None => self.host == host,
        }
    }
}

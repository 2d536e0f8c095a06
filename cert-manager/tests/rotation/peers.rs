//! Who learns late what is published: API servers and replicas.

use std::time::{Duration, SystemTime};

use berth_cert_manager::{Error, Served, served::PATIENCE, store::Secret};

/// An API server: how late it learns of a configuration.
pub(crate) struct ApiServer(pub(crate) Duration);

/// A replica of the webhook.
pub(crate) struct Replica {
    /// How late it learns of the Secret.
    pub(crate) delay: Duration,
    pub(crate) served: Option<Served>,
    version: Option<String>,
    /// How long it serves on with what it has, where the new leaf is of a CA that it has never heard of.
    pub(crate) patience: Duration,
    /// What it has not taken yet, and since when.
    pub(crate) doubted: Option<(String, SystemTime)>,
}

impl Replica {
    pub(crate) fn late(seconds: u64) -> Self {
        Self { delay: Duration::from_secs(seconds), served: None, version: None, doubted: None, patience: PATIENCE }
    }

    /// One that takes whatever is good by itself.
    pub(crate) fn naive(seconds: u64) -> Self {
        Self { patience: Duration::ZERO, ..Self::late(seconds) }
    }

    /// Takes what is stored if it is good, as `berth webhook` does, and else keeps what it has.
    pub(crate) fn learn(&mut self, stored: Option<&Secret>, name: &str, now: SystemTime) {
        let Some(stored) = stored.filter(|stored| self.version.as_ref() != Some(&stored.version)) else { return };
        let Ok(new) = read(stored, name, now) else { return };
        let known = self.served.as_ref().is_none_or(|current| new.follows(current, name, now));
        let (version, since) = self.doubted.get_or_insert_with(|| (stored.version.clone(), now));
        if *version != stored.version {
            (*version, *since) = (stored.version.clone(), now);
        }
        if known || *since + self.patience <= now {
            (self.version, self.served, self.doubted) = (Some(stored.version.clone()), Some(new), None);
        }
    }
}

pub(crate) fn read(secret: &Secret, name: &str, now: SystemTime) -> Result<Served, Error> {
    let entry = |entry| secret.entry(entry).unwrap_or_default();
    Served::from_parts(entry("tls.crt"), entry("tls.key"), entry("ca.crt"), name, now)
}

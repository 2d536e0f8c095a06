//! Whether a replica may be sent reviews, in words.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use super::tls::Tls;
use crate::nodes::Nodes;

/// What a replica needs before it is ready. What it has had once it keeps, but for the certificate: that expires.
#[derive(Debug)]
pub struct Readiness {
    tls: Arc<Tls>,
    nodes: Option<Arc<Nodes>>,
    stopping: AtomicBool,
}

impl Readiness {
    /// Ready when the certificate of `tls` is valid and, where `nodes` are waited for, their first list is in.
    pub fn new(tls: Arc<Tls>, nodes: Option<Arc<Nodes>>) -> Self {
        Self { tls, nodes, stopping: AtomicBool::new(false) }
    }

    /// The process was told to stop.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What stands in the way at `now`; empty: ready.
    pub fn missing(&self, now: SystemTime) -> Vec<&'static str> {
        let validity = self.tls.validity();
        let unlisted = self.nodes.as_ref().is_some_and(|nodes| !nodes.synced());
        let obstacles = [
            (self.stopping.load(Ordering::Relaxed), "stopping: open connections are still served"),
            (now < validity.not_before, "the certificate is not valid yet"),
            (now > validity.not_after, "the certificate has expired"),
            (unlisted, "waiting for the first list of nodes from the Kubernetes API"),
        ];
        obstacles.into_iter().filter_map(|(stands, words)| stands.then_some(words)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tls::tests::tls_until, *};

    #[test]
    fn it_says_what_it_waits_for() {
        let now = SystemTime::now();
        let tls = tls_until(now + Duration::from_secs(60));
        let waiting = Readiness::new(tls.clone(), Some(Arc::new(Nodes::new(50))));
        assert_eq!(waiting.missing(now), ["waiting for the first list of nodes from the Kubernetes API"]);

        let readiness = Readiness::new(tls, None);
        assert!(readiness.missing(now).is_empty());
        assert_eq!(readiness.missing(now + Duration::from_secs(61)), ["the certificate has expired"]);
        assert_eq!(readiness.missing(now - Duration::from_secs(7200)), ["the certificate is not valid yet"]);
        readiness.stopping();
        assert_eq!(readiness.missing(now), ["stopping: open connections are still served"]);
    }
}

//! Whether a replica may be sent reviews, in words.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use super::tls::Tls;
use crate::{local_registry::LocalRegistry, nodes::Nodes};

/// What a replica needs before it is ready. What it has had once it keeps, but for the certificate: that expires.
#[derive(Debug)]
pub struct Readiness {
    tls: Arc<Tls>,
    nodes: Option<Arc<Nodes>>,
    local: Option<Arc<LocalRegistry>>,
    stopping: AtomicBool,
}

impl Readiness {
    /// Ready when the certificate of `tls` is valid and, where they are waited for, the first list of `nodes` is in and
    /// the `local` registry was looked for.
    pub fn new(tls: Arc<Tls>, nodes: Option<Arc<Nodes>>, local: Option<Arc<LocalRegistry>>) -> Self {
        Self { tls, nodes, local, stopping: AtomicBool::new(false) }
    }

    /// The process was told to stop.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What stands in the way at `now`; empty: ready.
    pub fn missing(&self, now: SystemTime) -> Vec<Cow<'static, str>> {
        let unlisted = self.nodes.as_ref().is_some_and(|nodes| !nodes.synced());
        let unseen = self.local.as_ref().is_some_and(|local| !local.looked());
        let stopping = self.stopping.load(Ordering::Relaxed);
        let obstacles = [
            stopping.then_some("stopping: open connections are still served".into()),
            self.tls.obstacle(now),
            unlisted.then_some("waiting for the first list of nodes from the Kubernetes API".into()),
            unseen.then_some("waiting for a look at the ConfigMap kube-public/local-registry-hosting".into()),
        ];
        obstacles.into_iter().flatten().collect()
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
        let waiting = Readiness::new(tls.clone(), Some(Arc::new(Nodes::new(50))), Some(Arc::default()));
        let nodes = "waiting for the first list of nodes from the Kubernetes API";
        let local = "waiting for a look at the ConfigMap kube-public/local-registry-hosting";
        assert_eq!(waiting.missing(now), [nodes, local]);

        let readiness = Readiness::new(tls, None, None);
        assert!(readiness.missing(now).is_empty());
        assert_eq!(readiness.missing(now + Duration::from_secs(61)), ["the certificate has expired"]);
        assert_eq!(readiness.missing(now - Duration::from_secs(7200)), ["the certificate is not valid yet"]);
        readiness.stopping();
        assert_eq!(readiness.missing(now), ["stopping: open connections are still served"]);
    }
}

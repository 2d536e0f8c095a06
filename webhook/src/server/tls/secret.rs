//! The certificate in the Secret `berth-tls`, followed at the API server.
//!
//! What is in it is served only if a caller would accept it: it verifies for the Service against the bundle beside it.
//! Whatever comes after that, the last good one is served on: a Secret that is deleted or garbled, or an API server
//! that is gone, costs no call.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    error::Error,
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use berth_cert_manager::{Served, Settings};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    runtime::watcher::{Config, Event},
};
use tokio::time;
use tracing::{info, warn};

use super::{Tls, reason};
use crate::{
    follow::{attentive, follow},
    telemetry::{Metrics, outcome::Refused},
};

/// The Secret, and who serves with it.
pub struct Stored {
    /// The Secret's name, and that by which API servers call.
    settings: Settings,
    tls: Arc<Tls>,
    metrics: Arc<Metrics>,
    seen: Mutex<Seen>,
}

/// What was seen of the Secret last.
#[derive(Default)]
struct Seen {
    /// None: there is no Secret.
    content: Option<BTreeMap<String, ByteString>>,
    /// Why it is not served, as it was said; empty: it is.
    told: String,
    /// A list has begun, and the Secret was not in it so far.
    unlisted: bool,
}

impl Stored {
    /// The Secret in `namespace`, for `tls`.
    pub fn new(namespace: &str, tls: Arc<Tls>, metrics: Arc<Metrics>) -> Self {
        Self { settings: Settings::berth(namespace), tls, metrics, seen: Mutex::default() }
    }

    /// Follows it, for ever.
    pub async fn follow(&self, client: Client) {
        let api = Api::<Secret>::namespaced(attentive(client, || ()), &self.settings.namespace);
        // A role can name the one Secret: list and watch are allowed where the request does.
        let config = Config::default().fields(&format!("metadata.name={}", self.settings.serving_secret));
        tokio::select! {
            () = follow("secrets", api, config, &self.metrics, |event| self.fold(event, SystemTime::now())) => (),
            () = self.look_again() => (),
        }
    }

    /// What did not count yet may count by now: the clock goes on, and may be set.
    async fn look_again(&self) {
        loop {
            time::sleep(LOOK_EVERY).await;
            self.look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner), SystemTime::now());
        }
    }

    fn fold(&self, event: Event<Secret>, now: SystemTime) {
        let seen = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                seen.unlisted = true;
                return;
            }
            Event::InitApply(secret) | Event::Apply(secret) => {
                seen.unlisted = false;
                seen.content = Some(secret.data.unwrap_or_default());
            }
            Event::InitDone if !seen.unlisted => return,
            Event::InitDone | Event::Delete(_) => seen.content = None,
        }
        self.look(seen, now);
    }

    /// Serves what was seen, or says why not.
    fn look(&self, seen: &mut Seen, now: SystemTime) {
        match seen.content.as_ref().ok_or(Trouble::Missing).and_then(|content| self.serve(content, now)) {
            Ok(()) => seen.told.clear(),
            Err(trouble) => {
                let told = trouble.told();
                if told != seen.told {
                    let secret = &self.settings.serving_secret;
                    warn!(secret, reason = told, "no certificate can be taken; the last good one is served on");
                    trouble.reason().into_iter().for_each(|reason| self.metrics.certificate.refused(reason));
                    self.tls.awaits(trouble.awaited());
                    seen.told = told;
                }
            }
        }
        self.metrics.certificate.served(self.tls.validity());
    }

    fn serve(&self, content: &BTreeMap<String, ByteString>, now: SystemTime) -> Result<(), Trouble> {
        let served = Served::from_secret(content, &self.settings.call(), now)?;
        if self.tls.replace(served.into(), now)? {
            info!(secret = self.settings.serving_secret, "serving with another certificate");
        }
        Ok(())
    }
}

/// Why there is nothing new to serve with.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("there is no such Secret")]
    Missing,
    #[error(transparent)]
    Refused(#[from] berth_cert_manager::Error),
}

impl Trouble {
    /// With all causes.
    fn told(&self) -> String {
        let causes = iter::successors(self.source(), |&error| error.source());
        causes.fold(self.to_string(), |told, cause| format!("{told}: {cause}"))
    }

    /// The metric's label; a Secret that is not there was not refused.
    fn reason(&self) -> Option<Refused> {
        match self {
            Self::Missing => None,
            Self::Refused(error) => Some(reason(error)),
        }
    }

    /// What a replica waits for that has never had a certificate.
    fn awaited(&self) -> Cow<'static, str> {
        match self {
            Self::Missing => AWAITED.into(),
            Self::Refused(_) => {
                format!("waiting for another certificate in the Secret berth-tls: {}", self.told()).into()
            }
        }
    }
}

/// What a replica waits for at first.
pub const AWAITED: &str = "waiting for the Secret berth-tls from the Kubernetes API: berth controller writes it";
/// Time between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

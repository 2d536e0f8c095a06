//! The certificate in the Secret `berth-tls`, followed at the API server.
//!
//! What is in it is served only if a caller would accept it: it verifies for the Service against the bundle beside it.
//! Whatever comes after that, the last good one is served on: a Secret that is deleted or garbled, or an API server
//! that is gone, costs no call. Nor does one that a stranger has put in its place: a leaf of a CA that nobody announced
//! is taken only when it has stayed for a while. But what nobody has taken so far may be the stranger's itself, and is not
//! held on to.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    error::Error,
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use berth_cert_manager::{Served, Settings, served::PATIENCE};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    runtime::watcher::{Config, Event},
};
use tokio::time::{self, Instant};
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
    /// What is served.
    served: Option<Served>,
    /// It was announced by one that had earned trust.
    earned: bool,
    /// Since when the content is of a CA that nobody announced.
    doubted: Option<Instant>,
}

impl Seen {
    fn now(&mut self, content: Option<BTreeMap<String, ByteString>>) {
        if self.content != content {
            (self.content, self.doubted) = (content, None);
        }
    }
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
                seen.now(Some(secret.data.unwrap_or_default()));
            }
            Event::InitDone if !seen.unlisted => return,
            Event::InitDone | Event::Delete(_) => seen.now(None),
        }
        self.look(seen, now);
    }

    /// Serves what was seen, or says why not.
    fn look(&self, seen: &mut Seen, now: SystemTime) {
        match self.serve(seen, now) {
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

    fn serve(&self, seen: &mut Seen, now: SystemTime) -> Result<(), Trouble> {
        let (content, name) = (seen.content.as_ref().ok_or(Trouble::Missing)?, self.settings.call());
        let served = Served::from_secret(content, &name, now)?;
        // Looked at a little ahead: the one that is served must not expire while it is preferred.
        let soon = now.checked_add(2 * LOOK_EVERY).unwrap_or(now);
        let announced = seen.served.as_ref().is_none_or(|current| served.follows(current, &name, soon));
        let earned = seen.earned || self.tls.is_established(PATIENCE);
        if !announced && earned && seen.doubted.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            return Err(Trouble::Unannounced);
        }
        if self.tls.replace(served.clone().into(), now)? {
            info!(secret = self.settings.serving_secret, "serving with another certificate");
            seen.earned = announced && earned;
        }
        seen.served = Some(served);
        Ok(())
    }
}

/// Why there is nothing new to serve with.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("there is no such Secret")]
    Missing,
    #[error("it is of a CA that nobody announced; it is taken where it stays for {} s", PATIENCE.as_secs())]
    Unannounced,
    #[error(transparent)]
    Refused(#[from] berth_cert_manager::Error),
}

impl Trouble {
    /// With all causes.
    fn told(&self) -> String {
        let causes = iter::successors(self.source(), |&error| error.source());
        causes.fold(self.to_string(), |told, cause| format!("{told}: {cause}"))
    }

    /// The metric's label; a Secret that is not there was not refused, nor one that is waited with.
    fn reason(&self) -> Option<Refused> {
        match self {
            Self::Missing | Self::Unannounced => None,
            Self::Refused(error) => Some(reason(error)),
        }
    }

    /// What a replica waits for that has never had a certificate.
    fn awaited(&self) -> Cow<'static, str> {
        match self {
            Self::Missing | Self::Unannounced => AWAITED.into(),
            Self::Refused(_) => {
                format!("waiting for another certificate in the Secret berth-tls: {}", self.told()).into()
            }
        }
    }
}

/// What a replica waits for at first.
pub const AWAITED: &str = "waiting for the Secret berth-tls from the Kubernetes API: berth controller writes it";
/// Time between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

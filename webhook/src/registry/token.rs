//! What lets Berth in: tokens and passwords as headers, remembered per registry, repository and credential.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use moka::sync::Cache;
use secrecy::SecretString;
use tokio::time::{self, Instant};

use super::credentials::Fingerprint;

/// A header that a registry has asked for, until it expires.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// `Authorization`, marked sensitive.
    pub(super) header: HeaderValue,
    /// Who the registry takes Berth for.
    pub(super) standing: Standing,
    /// Not used after this.
    pub(super) expires: Instant,
}

/// Who a registry takes Berth for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nobody: there are no credentials.
    Stranger,
    /// Nobody: this token service may not see the credentials.
    Withheld(String),
    /// Whom the credentials say, which nobody has checked yet.
    Claimed,
    /// Whom the credentials say: the token service has taken them.
    Known,
}

/// Grants by what they are for. Two credentials never share one, nor do two repositories.
#[derive(Debug)]
pub(super) struct Grants {
    slots: Cache<Key, Arc<Slot>>,
    /// Refresh tokens that replace those of credentials, by host and credential.
    replaced: Cache<(String, Fingerprint), SecretString>,
}

/// What a grant is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    /// The registry's host, as in references: it decides endpoint and TLS.
    pub(super) host: String,
    /// The repository at that host.
    pub(super) repository: String,
    /// None: anonymous.
    pub(super) credential: Option<Fingerprint>,
}

impl Grants {
    /// No grants.
    pub(super) fn new() -> Self {
        Self {
            slots: Cache::builder().max_capacity(REMEMBERED).time_to_idle(IDLE).build(),
            replaced: Cache::new(REMEMBERED),
        }
    }

    /// The place of one grant, empty at first.
    pub(super) fn slot(&self, key: Key) -> Arc<Slot> {
        self.slots.get_with(key, Arc::default)
    }

    /// The refresh token that has replaced the one of `credential` at the registry `host`, if one has.
    pub(super) fn replacement(&self, host: &str, credential: Fingerprint) -> Option<SecretString> {
        self.replaced.get(&(host.to_owned(), credential))
    }

    /// From now on, `refresh_token` counts instead of the one of `credential`; or that one again.
    pub(super) fn replace(&self, host: &str, credential: Fingerprint, refresh_token: Option<SecretString>) {
        let key = (host.to_owned(), credential);
        match refresh_token {
            Some(refresh_token) => self.replaced.insert(key, refresh_token),
            None => self.replaced.invalidate(&key),
        }
    }
}

/// The place of one grant.
#[derive(Debug, Default)]
pub(super) struct Slot {
    grant: Mutex<Option<Grant>>,
    asking: tokio::sync::Mutex<()>,
}

impl Slot {
    /// The grant, if it is still good.
    pub(super) fn current(&self) -> Option<Grant> {
        self.lock().as_ref().filter(|grant| Instant::now() < grant.expires).cloned()
    }

    /// The registry did not take this one.
    pub(super) fn forget(&self, refused: &Grant) {
        let mut grant = self.lock();
        if grant.as_ref().is_some_and(|current| current.header == refused.header) {
            *grant = None;
        }
    }

    /// The grant that somebody else obtained meanwhile, or a new one from `ask`.
    ///
    /// One at a time, but one that stalls holds up the others for a moment only.
    pub(super) async fn obtain<E>(&self, ask: impl Future<Output = Result<Grant, E>>) -> Result<Grant, E> {
        let _turn = time::timeout(PATIENCE, self.asking.lock()).await;
        if let Some(grant) = self.current() {
            return Ok(grant);
        }
        let grant = ask.await?;
        *self.lock() = Some(grant.clone());
        Ok(grant)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Grant>> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grants that are remembered.
const REMEMBERED: u64 = 10_000;
/// How long a grant is remembered that nobody uses.
const IDLE: Duration = Duration::from_secs(3600);
/// How long one waits for another's question to the token service.
const PATIENCE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future;

    use super::*;

    #[test]
    fn a_grant_is_for_one_registry_one_repository_and_one_credential() {
        let (grants, ours) = (Grants::new(), Fingerprint::of("ours"));
        let slot = |host: &str, repository: &str, credential| {
            grants.slot(Key { host: host.to_owned(), repository: repository.to_owned(), credential })
        };
        let first = slot("reg.example", "app", Some(ours));
        assert!(Arc::ptr_eq(&first, &slot("reg.example", "app", Some(ours))));
        for other in [
            slot("reg.example", "app", None),
            slot("reg.example", "app", Some(Fingerprint::of("theirs"))),
            slot("reg.example", "other", Some(ours)),
            slot("other.example", "app", Some(ours)),
        ] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
    }

    const GOOD: Duration = Duration::from_secs(60);

    fn grant(good: Duration) -> Grant {
        Grant {
            header: HeaderValue::from_static("Bearer abc"),
            standing: Standing::Stranger,
            expires: Instant::now() + good,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_at_once_ask_once() {
        let (slot, asked) = (Slot::default(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            time::sleep(Duration::from_millis(100)).await;
            Ok::<_, ()>(grant(GOOD))
        };
        let grants = future::join_all((0..100).map(|_| slot.obtain(ask()))).await;
        assert!(grants.iter().all(Result::is_ok));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_stalls_holds_up_nobody_for_long() {
        let slot = Slot::default();
        let stalled = slot.obtain(future::pending::<Result<Grant, ()>>());
        let start = Instant::now();
        let second = async {
            time::sleep(Duration::from_millis(1)).await;
            slot.obtain(async { Ok::<_, ()>(grant(GOOD)) }).await
        };
        tokio::select! {
            _ = stalled => unreachable!("it never ends"),
            granted = second => assert!(granted.is_ok()),
        }
        assert_eq!(start.elapsed(), Duration::from_millis(251));
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_ends_by_time_or_by_refusal() {
        let slot = Slot::default();
        let granted = slot.obtain(async { Ok::<_, ()>(grant(Duration::from_secs(10))) }).await.unwrap();
        assert!(slot.current().is_some());
        time::advance(Duration::from_secs(10)).await;
        assert!(slot.current().is_none());
        slot.obtain(async { Ok::<_, ()>(grant(GOOD)) }).await.unwrap();
        slot.forget(&Grant { header: HeaderValue::from_static("Bearer other"), ..granted.clone() });
        assert!(slot.current().is_some());
        slot.forget(&granted);
        assert!(slot.current().is_none());
    }
}

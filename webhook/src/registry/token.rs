//! What lets Berth in: tokens and passwords as headers, remembered per registry, repository and credential.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use moka::sync::Cache;
use reqwest::Url;
use serde::Deserialize;
use tokio::time::{self, Instant};

use super::{challenge::Bearer, credentials::Fingerprint};

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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nobody: no credentials were sent.
    Stranger,
    /// Whom the credentials say, which nobody has checked yet.
    Claimed,
    /// Whom the credentials say: the token service has taken them.
    Known,
}

/// Grants by what they are for. Two credentials never share one, nor do two repositories.
#[derive(Debug)]
pub(super) struct Grants {
    slots: Cache<Key, Arc<Slot>>,
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
        Self { slots: Cache::builder().max_capacity(REMEMBERED).time_to_idle(IDLE).build() }
    }

    /// The place of one grant, empty at first.
    pub(super) fn slot(&self, key: Key) -> Arc<Slot> {
        self.slots.get_with(key, Arc::default)
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

impl Bearer {
    /// The question to the token service at `url`, for pulling from `repository`.
    pub(super) fn question(&self, mut url: Url, repository: &str) -> Url {
        let scope = self.scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
        let mut query = url.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &scope);
        drop(query);
        url
    }
}

/// Reads a token service's answer: the header to send, and for how long it is good.
///
/// # Errors
/// What is wrong, without any of its text.
///
/// # Source
/// `distribution/distribution`, "Token Authentication Specification": `token` or `access_token`, 60 s by default.
pub(super) fn read_token(body: &[u8]) -> Result<(HeaderValue, Duration), &'static str> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "its token service gave no JSON with a token")?;
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let token = filled(&answer.token).or_else(|| filled(&answer.access_token));
    let token = token.ok_or("its token service gave an empty token")?;
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(["Bearer ", &token].concat()).ok().filter(|_| visible);
    let mut header = header.ok_or("its token service gave a token with strange characters")?;
    header.set_sensitive(true);
    let good = answer
        .expires_in
        .filter(|seconds| *seconds > 0.0)
        .map_or(DEFAULT, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST));
    Ok((header, good.saturating_sub((good / 4).min(SKEW))))
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// Grants that are remembered.
const REMEMBERED: u64 = 10_000;
/// How long a grant is remembered that nobody uses.
const IDLE: Duration = Duration::from_secs(3600);
/// How long one waits for another's question to the token service.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a token is good whose answer does not say.
const DEFAULT: Duration = Duration::from_secs(60);
/// How long a token is good at most, whatever its answer says.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long before its end a token is no longer used, at most.
const SKEW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future;

    use super::*;

    #[track_caller]
    fn check(body: &str, want: Result<(&str, u64), &str>) {
        let got = read_token(body.as_bytes());
        let got = got.as_ref().map(|(header, good)| (header.to_str().unwrap(), good.as_secs())).map_err(|error| *error);
        assert_eq!(got, want, "body: {body}");
        assert!(read_token(body.as_bytes()).is_ok_and(|(header, _)| header.is_sensitive()) || want.is_err());
    }

    #[test]
    fn a_token_has_either_name_and_an_end() {
        check(r#"{"token":"abc"}"#, Ok(("Bearer abc", 45)));
        check(r#"{"access_token":"abc","expires_in":300}"#, Ok(("Bearer abc", 270)));
        check(r#"{"token":"","access_token":"abc","expires_in":20}"#, Ok(("Bearer abc", 15)));
        check(r#"{"token":"abc","access_token":"other","issued_at":"now"}"#, Ok(("Bearer abc", 45)));
        check(r#"{"token":"abc","expires_in":1e300}"#, Ok(("Bearer abc", 3570)));
        check(r#"{"token":"abc","expires_in":-5}"#, Ok(("Bearer abc", 45)));
        check(r#"{"token":null}"#, Err("its token service gave an empty token"));
        check(r#"{"token":"a\r\nX-Evil: 1"}"#, Err("its token service gave a token with strange characters"));
        check(r#"{"token":"a b"}"#, Err("its token service gave a token with strange characters"));
        check("<html>", Err("its token service gave no JSON with a token"));
        check(r#"{"token":5}"#, Err("its token service gave no JSON with a token"));
    }

    #[test]
    fn the_question_keeps_the_realms_query_and_says_what_for() {
        let url: Url = "https://auth.example/token?account=x".parse().unwrap();
        let mut bearer = Bearer { realm: String::new(), service: Some("reg & co".to_owned()), scope: None };
        let want = "https://auth.example/token?account=x&service=reg+%26+co&scope=repository%3Ateam%2Fapp%3Apull";
        assert_eq!(bearer.question(url.clone(), "team/app").as_str(), want);
        bearer.scope = Some("repository:a:pull".to_owned());
        bearer.service = None;
        let want = "https://auth.example/token?account=x&scope=repository%3Aa%3Apull";
        assert_eq!(bearer.question(url, "team/app").as_str(), want);
    }

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
            Ok::<_, ()>(grant(DEFAULT))
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
            slot.obtain(async { Ok::<_, ()>(grant(DEFAULT)) }).await
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
        slot.obtain(async { Ok::<_, ()>(grant(DEFAULT)) }).await.unwrap();
        slot.forget(&Grant { header: HeaderValue::from_static("Bearer other"), ..granted.clone() });
        assert!(slot.current().is_some());
        slot.forget(&granted);
        assert!(slot.current().is_none());
    }
}

//! The pull secrets of Pods: read one by one, by name, when a Pod that names them is reviewed; never listed.
//!
//! What was read is used again for 15 s, and what could not be read is not asked for again within
//! 5 s: a rotated Secret is in force that soon, and a thousand Pods are one request.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use http::Request;
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, Resource as _};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;
use tokio::{
    sync::{OnceCell, Semaphore},
    time,
};

use crate::registry::{Format, Keyring};

/// Reads pull secrets, with the rights of Berth's `ServiceAccount`.
pub struct PullSecrets {
    client: Client,
    /// By `namespace/name`.
    remembered: Cache<String, Place>,
    /// Requests at the same time: a Secret can have a mebibyte, and tenants write them.
    turns: Semaphore,
}

/// What the pull secrets of one Pod gave.
#[derive(Debug, Default)]
pub struct Given {
    /// The credentials of all that could be read, in the Pod's order; none where none could.
    pub keyring: Option<Keyring>,
    /// Those that could not be used.
    pub problems: Vec<Problem>,
    /// The Pod will have others, which are not known yet: those of its `ServiceAccount`.
    pub unknown: bool,
    /// The Pod has some that Berth does not read.
    pub unread: bool,
}

impl Given {
    /// Whether nodes may pull with more than Berth asks with.
    pub fn is_partial(&self) -> bool {
        self.unread || self.problems.iter().any(|problem| problem.reason != Reason::Missing)
    }

    /// Whether the namespace has no pull secret `name`.
    pub fn lacks(&self, name: &str) -> bool {
        self.problems.iter().any(|problem| problem.name == name && problem.reason == Reason::Missing)
    }
}

/// A pull secret that could not be used, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    namespace: String,
    name: String,
    reason: Reason,
}

/// Why a pull secret could not be used.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Reason {
    /// 404, or no name that a Secret can have.
    Missing,
    /// 403: nobody has bound the `ClusterRole` in this namespace.
    Forbidden,
    /// Its type is not that of a pull secret, or its content is not what its type says; never with any of the content.
    Unusable(String),
    /// The API server gave something else.
    Unread(String),
    /// The time was over.
    Late,
    /// The Pod names more than Berth reads.
    TooMany,
}

/// Where the answer about one Secret is, or will be.
#[derive(Clone, Default)]
struct Place {
    answer: Arc<OnceCell<Answer>>,
    /// Of the answer, as far as it is there.
    bytes: usize,
}

/// What one Secret gave, and until when that counts.
#[derive(Debug)]
struct Answer {
    outcome: Result<Arc<Keyring>, Reason>,
    until: Instant,
}

impl PullSecrets {
    /// Reads by `client`.
    pub fn new(client: Client) -> Self {
        let weigh =
            |key: &String, place: &Place| u32::try_from(key.len() + ENTRY_BYTES + 2 * place.bytes).unwrap_or(u32::MAX);
        let remembered = Cache::builder().weigher(weigh).max_capacity(REMEMBERED_BYTES).time_to_live(FOUND_FOR).build();
        Self { client, remembered, turns: Semaphore::new(AT_ONCE) }
    }

    /// The credentials in the Secrets `names` of `namespace`, by `until`.
    pub async fn read(&self, namespace: &str, names: &[&str], until: Instant) -> Given {
        let (asked, surplus) = names.split_at(names.len().min(MOST));
        let answers = join_all(asked.iter().map(|name| self.one(namespace, name, until))).await;
        let problem = |name: &str, reason| Problem { namespace: namespace.to_owned(), name: name.to_owned(), reason };
        let mut given = Given::default();
        for (name, answer) in asked.iter().zip(answers) {
            match answer {
                Ok(keyring) => given.keyring.get_or_insert_default().extend(&keyring),
                Err(reason) => given.problems.push(problem(name, reason)),
            }
        }
        given.problems.extend(surplus.first().map(|name| problem(name, Reason::TooMany)));
        given
    }

    /// One Secret, read at most once at the same time. Whoever runs out of time leaves the turn to the next.
    async fn one(&self, namespace: &str, name: &str, until: Instant) -> Result<Arc<Keyring>, Reason> {
        if !(is_object_name(namespace) && is_object_name(name)) {
            return Err(Reason::Missing); // and it would be another path of the API
        }
        let key = [namespace, "/", name].concat();
        let place = self.place(&key);
        let ask = async {
            let text = self.get(namespace, name).await;
            let bytes = text.as_ref().map_or(0, |text| text.expose_secret().len());
            self.remembered.insert(key, Place { bytes, ..place.clone() });
            Answer::new(text, now())
        };
        let answer = time::timeout_at(until.into(), place.answer.get_or_init(|| ask)).await;
        answer.map_err(|_late| Reason::Late)?.outcome.clone()
    }

    fn place(&self, key: &str) -> Place {
        let place = self.remembered.get_with_by_ref(key, Place::default);
        if place.answer.get().is_none_or(|answer| now() < answer.until) {
            return place;
        }
        let place = Place::default();
        self.remembered.insert(key.to_owned(), place.clone());
        place
    }

    /// The Secret, JSON text.
    async fn get(&self, namespace: &str, name: &str) -> Result<SecretString, Reason> {
        let _turn = self.turns.acquire().await; // never closed
        let path = [&Secret::url_path(&(), Some(namespace)), "/", name].concat();
        let request = Request::get(path).body(Vec::new()).map_err(|_| Reason::Missing)?;
        // As text: the client logs a whole body that it cannot decode.
        match self.client.request_text(request).await {
            Ok(text) => Ok(text.into()),
            Err(kube::Error::Api(status)) => Err(match status.code {
                404 => Reason::Missing,
                403 => Reason::Forbidden,
                code => Reason::Unread(format!("the API server answers {code}")),
            }),
            Err(_) => Err(Reason::Unread("the API server cannot be reached".to_owned())),
        }
    }
}

impl Answer {
    fn new(text: Result<SecretString, Reason>, now: Instant) -> Self {
        let outcome = text.and_then(|text| keyring(&text)).map(Arc::new);
        let until = now + if outcome.is_ok() { FOUND_FOR } else { FAILED_FOR };
        Self { outcome, until }
    }
}

/// By the clock that tests can stop.
fn now() -> Instant {
    time::Instant::now().into_std()
}

/// What Berth needs of a Secret.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    data: Option<BTreeMap<String, SecretString>>,
}

/// The credentials in a Secret, JSON text. Errors tell nothing of it but its type.
fn keyring(text: &SecretString) -> Result<Keyring, Reason> {
    let unusable = |text: &str| Reason::Unusable(text.to_owned());
    let stored: Stored =
        serde_json::from_str(text.expose_secret()).map_err(|_| unusable("it cannot be read as a Secret"))?;
    let Some(format) = Format::of_secret(&stored.kind) else {
        return Err(Reason::Unusable(format!("type {}, not kubernetes.io/dockerconfigjson", stored.kind)));
    };
    let key = format.secret_key();
    let content = stored.data.as_ref().and_then(|data| data.get(key));
    let content = content.ok_or_else(|| Reason::Unusable(format!("it has no {key}")))?;
    let content = STANDARD.decode(content.expose_secret()).map_err(|_| unusable("it is not in base64"))?;
    let content = SecretSlice::from(content);
    if content.expose_secret().len() > LARGEST {
        return Err(Reason::Unusable(format!("{key} is larger than {} KiB", LARGEST >> 10)));
    }
    let mut keyring = Keyring::default();
    keyring.add(content.expose_secret(), format).map_err(|reason| Reason::Unusable(format!("{key}: {reason}")))?;
    Ok(keyring)
}

/// A DNS subdomain, as the names of all Secrets and namespaces are.
fn is_object_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()].into_iter().all(|end| end.is_some_and(|&byte| letter(byte)));
        ends && bytes.iter().all(|&byte| letter(byte) || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl fmt::Display for Problem {
    /// In the order in which a warning is cut: what to do before the names.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, reason } = self;
        match reason {
            Reason::Missing => write!(formatter, "pull secret {name} does not exist in {namespace}"),
            Reason::Forbidden => write!(
                formatter,
                "bind the ClusterRole berth-pull-secrets in {namespace}: Berth may not read pull secret {name}"
            ),
            Reason::Unusable(why) => write!(formatter, "pull secret {name} is not used: {why}"),
            Reason::Unread(why) => write!(formatter, "pull secret {name} was not read: {why}"),
            Reason::Late => write!(formatter, "pull secret {name} was not read in time"),
            Reason::TooMany => write!(formatter, "only {MOST} pull secrets are read: {name} and later are not"),
        }
    }
}

impl fmt::Debug for PullSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PullSecrets").finish_non_exhaustive()
    }
}

/// How long the content of a Secret is used: so soon is a rotated one in force, and a deleted one out of it.
const FOUND_FOR: Duration = Duration::from_secs(15);
/// How long a Secret that could not be read is not asked for again: so soon helps who creates it, or binds the role.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// Secrets that are read for one Pod; the kubelet knows no limit, and few Pods name a second one.
const MOST: usize = 16;
const AT_ONCE: usize = 16;
/// Bytes of the content of one; a registry's entry has a few hundred.
const LARGEST: usize = 64 << 10;
/// All that is remembered.
const REMEMBERED_BYTES: u64 = 8 << 20;
/// Roughly what is remembered of a Secret besides its name and twice its content.
const ENTRY_BYTES: usize = 256;

#[cfg(test)]
mod tests;

//! What registries said last, and how long it may be said again.

use std::{fmt::Write as _, fs, time::Duration};

use moka::{ops::compute::Op, sync::Cache};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::{
    config::{Config, Pin},
    image::Digest,
    registry::{Error, LastKnown},
};

/// What registries said last, by [`Question::key`](crate::registry::Question::key): a digest, or that there is none for
/// whoever asked. It is bounded, and its clones are one.
#[derive(Clone, Debug)]
pub struct Memory {
    said: Cache<String, Said>,
    /// Of the ways to all registries: what was heard on others is worth nothing.
    ways: [u8; 32],
}

/// What a registry said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// When the request started.
    pub(super) asked: Instant,
    pub(super) answer: Result<Digest, Error>,
}

impl Memory {
    /// Nothing yet, of the registries of `config`.
    pub fn of(config: &Config) -> Self {
        let weigh = |key: &String, said: &Said| u32::try_from(bytes(key, said)).unwrap_or(u32::MAX);
        let said = Cache::builder().max_capacity(CAPACITY).weigher(weigh).build();
        Self { said, ways: ways(config) }
    }

    /// This one where `config` reaches registries as before, else an empty one.
    #[must_use]
    pub fn under(&self, config: &Config) -> Self {
        if ways(config) == self.ways { self.clone() } else { Self::of(config) }
    }

    pub(super) fn last(&self, key: &str) -> Option<Said> {
        self.said.get(key)
    }

    /// Remembers `said`, if it says something about the image and nothing newer is known.
    pub(super) fn remember(&self, key: &str, said: Said) {
        if is_word(&said.answer) {
            self.said.entry_by_ref(key).and_compute_with(|known| match known {
                Some(known) if said.asked < known.value().asked => Op::Nop,
                _ => Op::Put(said),
            });
        }
    }
}

/// Whether a registry said something about the image: failures on the way do not.
fn is_word(answer: &Result<Digest, Error>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => matches!(
            error,
            Error::NotFound { .. } | Error::Unauthorized { .. } | Error::Forbidden { .. } | Error::TokenRefused { .. }
        ),
    }
}

/// How long what a registry said may be said again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ages {
    /// While it can be asked.
    pub max_age: Duration,
    /// While it cannot: a digest only.
    pub last_known_good: Duration,
}

impl From<&Pin> for Ages {
    fn from(pin: &Pin) -> Self {
        Self { max_age: pin.max_age, last_known_good: pin.last_known_good }
    }
}

impl Ages {
    /// Whether anything is worth remembering.
    pub(super) fn remember(self) -> bool {
        !(self.max_age.is_zero() && self.last_known_good.is_zero())
    }

    /// The rule of `maxAge`: whether what was said to a request that started at `asked` is fresh enough for `arrived`.
    /// A denial is believed for a few seconds at most, for it ends by a push.
    pub(super) fn serve(self, answer: &Result<Digest, Error>, asked: Instant, arrived: Instant) -> bool {
        let age = if answer.is_ok() { self.max_age } else { self.max_age.min(NEGATIVE) };
        is_word(answer) && arrived < asked + age
    }

    /// The rule of `lastKnownGood`.
    pub(super) fn last_known(self, said: Said, now: Instant) -> Option<LastKnown> {
        let age = now.saturating_duration_since(said.asked);
        if age < self.last_known_good { said.answer.ok().map(|digest| LastKnown { digest, age }) } else { None }
    }
}

/// Stands for where registries are reached and how they prove themselves.
fn ways(config: &Config) -> [u8; 32] {
    let mut text = String::new();
    let told = (&config.registries, &config.mirror.rules, config.unlisted_registries);
    let _never_fails = write!(text, "{told:?}");
    let mut hash = Sha256::new();
    hash.update(text);
    for registry in &config.registries {
        let files = [&registry.ca_file, &registry.client_cert_file, &registry.client_key_file];
        for file in files.into_iter().flatten() {
            let content = fs::read(file).unwrap_or_default(); // who cannot read it fails elsewhere
            hash.update(content.len().to_be_bytes());
            hash.update(content);
        }
    }
    hash.finalize().into()
}

/// What an entry takes: a denial quotes the image, whose name is in the key.
fn bytes(key: &str, said: &Said) -> usize {
    let texts = if said.answer.is_ok() { 1 } else { 3 };
    ENTRY + texts * key.len()
}

/// Bytes of all that is remembered, about: some 16 000 images with names of middling length.
const CAPACITY: u64 = 8 << 20;
/// Bytes of an entry besides its texts, about: its digest, and what the cache keeps for it.
const ENTRY: usize = 400;
/// How long a denial is believed at most.
const NEGATIVE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

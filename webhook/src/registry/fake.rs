//! A registry in memory, for tests of everything above it: images, delays, failures, and a count of the questions.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time;

use super::{Error, LastKnown, Question, Resolve};
use crate::image::{Digest, Reference};

/// A registry of any host that knows the images pushed to it.
///
/// Like a real one it answers at one moment: it reads what it has when half of its delay has passed.
#[derive(Debug, Default)]
pub struct Fake {
    world: Mutex<World>,
    questions: AtomicUsize,
}

#[derive(Debug, Default)]
struct World {
    /// By what a registry is asked for: `docker.io/library/nginx:1`, `…@sha256:…`.
    images: HashMap<String, Digest>,
    failures: HashMap<String, Error>,
    /// Targets that are never answered.
    silent: HashSet<String>,
    /// What was said before, and how long ago.
    memory: HashMap<String, LastKnown>,
    down: Option<Error>,
    delay: Duration,
    asked: Vec<String>,
}

impl Fake {
    /// An empty registry that answers at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pushes a new build under `image`, a name with a tag, and returns its digest.
    ///
    /// # Panics
    /// If `image` is not an image.
    pub fn push(&self, image: &str) -> Digest {
        let digest = Digest::of(format!("{image}, build {}", self.with(|world| world.images.len())).as_bytes());
        self.put(image, &digest);
        digest
    }

    /// Puts the content `digest` under `image`, a name with a tag; it can then be asked for by digest, too.
    ///
    /// # Panics
    /// If `image` is not an image.
    pub fn put(&self, image: &str, digest: &Digest) {
        let image = parsed(image);
        let by_digest = image.pinned(digest, false).target().into_owned();
        self.with(|world| {
            world.images.insert(by_digest, digest.clone());
            world.images.insert(image.target().into_owned(), digest.clone());
        });
    }

    /// Removes `image`: the tag, or the content where it is given by digest.
    ///
    /// # Panics
    /// If `image` is not an image.
    pub fn delete(&self, image: &str) {
        self.with(|world| world.images.remove(&*parsed(image).target()));
    }

    /// Fails every question about `image`, a tag or a digest, from now on.
    ///
    /// # Panics
    /// If `image` is not an image.
    pub fn fail(&self, image: &str, error: Error) {
        self.with(|world| world.failures.insert(parsed(image).target().into_owned(), error));
    }

    /// Never answers a question about `image`, a tag or a digest, from now on.
    ///
    /// # Panics
    /// If `image` is not an image.
    pub fn black_hole(&self, image: &str) {
        self.with(|world| world.silent.insert(parsed(image).target().into_owned()));
    }

    /// Remembers that `image`, a tag, was `digest` so long ago.
    ///
    /// # Panics
    /// If `image` is not an image.
    pub fn remember(&self, image: &str, digest: &Digest, age: Duration) {
        let known = LastKnown { digest: digest.clone(), age };
        self.with(|world| world.memory.insert(parsed(image).target().into_owned(), known));
    }

    /// Fails every question from now on, or no more.
    pub fn down(&self, error: Option<Error>) {
        self.with(|world| world.down = error);
    }

    /// Takes this long for every question from now on.
    pub fn delay(&self, delay: Duration) {
        self.with(|world| world.delay = delay);
    }

    /// How many questions came so far.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    /// What was asked for so far, in this order: `docker.io/library/nginx:latest`.
    pub fn asked(&self) -> Vec<String> {
        self.with(|world| world.asked.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, image: &Reference) -> Result<Digest, Error> {
        let target = image.target();
        let half = self.with(|world| world.delay) / 2;
        pause(half).await;
        if self.with(|world| world.silent.contains(&*target)) {
            pending::<()>().await;
        }
        let answer = self.with(|world| match world.down.as_ref().or_else(|| world.failures.get(&*target)) {
            Some(error) => Err(error.clone()),
            None => world.images.get(&*target).cloned().ok_or_else(|| Error::not_found(image)),
        });
        pause(half).await;
        answer
    }
}

impl Resolve for Fake {
    async fn resolve(&self, question: &Question<'_>, deadline: Instant) -> Result<Digest, Error> {
        let image = question.image;
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.with(|world| world.asked.push(image.target().into_owned()));
        let limit = deadline.saturating_duration_since(time::Instant::now().into_std());
        let timed_out = || Err(Error::timed_out(image, limit));
        if limit.is_zero() {
            return timed_out();
        }
        time::timeout(limit, self.answer(image)).await.unwrap_or_else(|_| timed_out())
    }

    fn last_known(&self, question: &Question<'_>) -> Option<LastKnown> {
        self.with(|world| world.memory.get(&*question.image.target()).cloned())
    }
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        time::sleep(duration).await;
    }
}

#[expect(clippy::expect_used, reason = "a test that names no image is wrong")]
fn parsed(image: &str) -> Reference {
    image.parse().expect("an image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Keychain, Shared, conformance};

    impl conformance::World for Fake {
        async fn push(&self, image: &str) -> Digest {
            self.push(image)
        }

        async fn delete(&self, image: &str) {
            self.delete(image);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        let fake = Fake::new();
        fake.delay(Duration::from_millis(10));
        conformance::check(&fake, &Keychain::default(), &fake, "reg.example").await;
    }

    #[tokio::test(start_paused = true)]
    async fn conforms_with_shared_questions() {
        let shared = Shared::new(Fake::new(), Duration::ZERO);
        shared.inner().delay(Duration::from_millis(10));
        conformance::check(&shared, &Keychain::default(), shared.inner(), "reg.example").await;
    }
}

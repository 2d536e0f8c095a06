//! What every [`Resolve`] must do, as one suite: the fake passes it, the client with a registry on loopback, and the
//! client with a real one.

use std::time::{Duration, Instant};

use futures::future;

use super::{Asker, Error, Keychain, Question, Resolve};
use crate::image::{Digest, Reference};

/// Changes what the registry has.
pub trait World {
    /// Pushes content that never was before under `image` (a name with a tag) and returns its digest.
    fn push(&self, image: &str) -> impl Future<Output = Digest>;

    /// Removes the tag of `image`, or its content where it is given by digest.
    fn delete(&self, image: &str) -> impl Future<Output = ()>;

    /// What was deleted is gone at once. It is not where a cache stands before the registry.
    fn forgets(&self) -> bool {
        true
    }
}

/// Runs every check against the registry that references call `host`, asked with the credentials of `keychain`.
///
/// # Panics
/// If a check fails.
pub async fn check(resolve: &impl Resolve, keychain: &Keychain, world: &impl World, host: &str) {
    let suite = Suite { resolve, keychain, world, host };
    suite.a_tag_means_its_last_push().await;
    suite.no_tag_means_latest().await;
    suite.a_digest_decides_whatever_the_tag().await;
    suite.what_is_not_there_is_not_found().await;
    if world.forgets() {
        suite.what_was_deleted_is_not_found().await;
    }
    suite.many_at_once_are_told_the_same().await;
    suite.a_deadline_that_has_passed_is_kept().await;
}

struct Suite<'a, R, W> {
    resolve: &'a R,
    keychain: &'a Keychain,
    world: &'a W,
    host: &'a str,
}

impl<R: Resolve, W: World> Suite<'_, R, W> {
    async fn a_tag_means_its_last_push(&self) {
        let image = self.image("moving:v1");
        let first = self.world.push(&image).await;
        assert_eq!(self.found(&image).await, first);
        let second = self.world.push(&image).await;
        assert_ne!(first, second, "a push makes new content");
        assert_eq!(self.found(&image).await, second, "the push had finished before the question");
    }

    async fn no_tag_means_latest(&self) {
        let digest = self.world.push(&self.image("untagged:latest")).await;
        assert_eq!(self.found(&self.image("untagged")).await, digest);
    }

    async fn a_digest_decides_whatever_the_tag(&self) {
        let image = self.image("team/pinned:v1");
        let first = self.world.push(&image).await;
        let second = self.world.push(&image).await;
        let name = self.image("team/pinned");
        assert_eq!(self.found(&format!("{name}@{first}")).await, first);
        assert_eq!(self.found(&format!("{image}@{first}")).await, first);
        assert_eq!(self.found(&format!("{name}:other@{second}")).await, second);
    }

    async fn what_is_not_there_is_not_found(&self) {
        self.world.push(&self.image("known:v1")).await;
        let digest = Digest::of(b"content that nobody has pushed");
        self.missing(&self.image("known:v2")).await;
        self.missing(&self.image("unknown:v1")).await;
        self.missing(&self.image(&format!("known@{digest}"))).await;
    }

    async fn what_was_deleted_is_not_found(&self) {
        let image = self.image("deleted:v1");
        self.world.push(&image).await;
        self.found(&image).await;
        self.world.delete(&image).await;
        self.missing(&image).await;
    }

    async fn many_at_once_are_told_the_same(&self) {
        let image = self.image("popular:v1");
        let digest = self.world.push(&image).await;
        let answers = future::join_all((0..20).map(|_| self.found(&image))).await;
        assert!(answers.iter().all(|answer| *answer == digest));
    }

    async fn a_deadline_that_has_passed_is_kept(&self) {
        let image = self.image("late:v1");
        self.world.push(&image).await;
        let start = Instant::now();
        let answer = self.ask_until(&image, now()).await;
        assert!(matches!(answer, Err(Error::TimedOut { .. })), "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    fn image(&self, rest: &str) -> String {
        format!("{}/conformance/{rest}", self.host)
    }

    async fn ask(&self, image: &str) -> Result<Digest, Error> {
        self.ask_until(image, now() + LIMIT).await
    }

    async fn ask_until(&self, image: &str, deadline: Instant) -> Result<Digest, Error> {
        let image = parsed(image);
        let candidates =
            self.keychain.candidates(&image, &Asker { namespace: "conformance", proven: true, pull_secrets: None });
        self.resolve.resolve(&Question::new(&image, &candidates), deadline).await
    }

    #[expect(clippy::panic, reason = "this is a test")]
    async fn found(&self, image: &str) -> Digest {
        self.ask(image).await.unwrap_or_else(|error| panic!("{image}: {error}"))
    }

    async fn missing(&self, image: &str) {
        let answer = self.ask(image).await;
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{image}: {answer:?}");
    }
}

/// The moment, also where a test has stopped time.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[expect(clippy::expect_used, reason = "this is a test")]
fn parsed(image: &str) -> Reference {
    image.parse().expect("an image")
}

/// Longest time for one question.
const LIMIT: Duration = Duration::from_secs(10);

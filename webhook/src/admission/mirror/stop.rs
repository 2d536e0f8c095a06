//! One mirror that may have one image.

use std::time::{Duration, Instant};

use super::{Desk, Found, ResolveAt, share};
use crate::{
    admission::pin::Answer,
    config::{Repin, Rule},
    image::{Digest, Reference},
    registry::{Candidates, Error, Question, Resolve, Role},
};

/// A rule that is about the image.
#[derive(Debug)]
pub(super) struct Stop<'a> {
    pub(super) rule: &'a Rule,
    /// The image by the name that it has at the mirror, or why it can have none there.
    image: Result<Reference, Error>,
}

/// Why a mirror does not serve.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// What it said that the tag means, the last time that it could be asked, and how long ago that was.
    pub(super) remembered: Option<(Found, Duration)>,
}

impl<'a> Stop<'a> {
    /// None where `rule` is not about `image`, whose full name is `repository`.
    pub(super) fn of(rule: &'a Rule, image: &Reference, repository: &str) -> Option<Self> {
        let name = rule.rewrite(repository)?;
        let host = name.split('/').next().unwrap_or_default();
        // A rule that is dropped would leave the way to the source open.
        let image = image.renamed(&name).map_err(|why| Error::NotAllowed {
            host: host.to_owned(),
            reason: format!("{host} can have no image of that name: {why}"),
        });
        Some(Self { rule, image })
    }

    /// The image's name at the mirror.
    pub(super) fn name(&self) -> Option<&str> {
        self.image.as_ref().ok().map(Reference::name)
    }

    /// Asks for `digest` where it is known, else for what the tag means, where the rule lets the mirror say so.
    ///
    /// None where there is nothing to ask for.
    pub(super) async fn ask<R: Resolve>(
        &self,
        desk: &Desk<'_, R>,
        digest: Option<&Digest>,
        repin: Repin,
        until: Instant,
    ) -> Option<Result<Found, Failure>> {
        let image = match &self.image {
            Ok(image) => image,
            Err(error) => return Some(Err(Failure { error: error.clone(), remembered: None })),
        };
        // A node without secrets asks without credentials, and it is the node that pulls.
        let by_secret = self.rule.pull_secret.as_deref().is_some_and(|name| !desk.given.lacks(name));
        let candidates = if by_secret || self.rule.nodes_have_credentials {
            desk.keychain.candidates(image, &desk.asker)
        } else {
            Candidates::anonymous()
        };
        let visit = Visit { desk, rule: self.rule, image, candidates };
        Some(match (digest, self.rule.resolve) {
            (Some(digest), ResolveAt::Source) => visit.for_digest(digest, until).await,
            (None, ResolveAt::Source) => return None,
            (None, ResolveAt::Mirror) => visit.for_tag(until).await,
            (Some(digest), ResolveAt::Mirror) => visit.again(digest, repin, until).await,
        })
    }
}

/// Some questions to one mirror.
struct Visit<'a, R> {
    desk: &'a Desk<'a, R>,
    rule: &'a Rule,
    /// By its name there.
    image: &'a Reference,
    candidates: Candidates,
}

impl<R: Resolve> Visit<'_, R> {
    async fn for_digest(&self, digest: &Digest, until: Instant) -> Result<Found, Failure> {
        let answer = self.question(&self.image.pinned(digest, false), until).await;
        match answer.now {
            Ok(digest) => Ok(self.found(digest)),
            // That it was there once does not help whoever has to pull it now.
            Err(error) => Err(Failure { error, remembered: None }),
        }
    }

    /// What the tag means here. A pull-through mirror may know it and still not have the content: nodes ask by digest.
    async fn for_tag(&self, until: Instant) -> Result<Found, Failure> {
        let tag = self.image.digest().and_then(|_| self.image.by_tag());
        let answer = self.question(tag.as_ref().unwrap_or(self.image), share(until, 2)).await;
        match answer.now {
            Ok(digest) => self.for_digest(&digest, until).await,
            Err(error) => {
                let remembered = answer.last_known.map(|known| (self.found(known.digest), known.age));
                Err(Failure { error, remembered })
            }
        }
    }

    /// The image has `digest` already, and the mirror may say that its tag means another one by now.
    async fn again(&self, digest: &Digest, repin: Repin, until: Instant) -> Result<Found, Failure> {
        match repin {
            Repin::Off => self.for_digest(digest, until).await,
            Repin::Replace => match self.for_tag(share(until, 2)).await {
                Ok(found) => Ok(found),
                Err(_) => self.for_digest(digest, until).await,
            },
            Repin::Warn => {
                let mut found = self.for_digest(digest, share(until, 2)).await?;
                if let Some(tag) = self.image.by_tag() {
                    found.newer = self.question(&tag, until).await.now.ok().filter(|meant| meant != digest);
                }
                Ok(found)
            }
        }
    }

    /// The image with `digest`, as this mirror has it.
    fn found(&self, digest: Digest) -> Found {
        Found { image: self.image.clone(), digest, newer: None, pull_secret: self.rule.pull_secret.clone() }
    }

    async fn question(&self, image: &Reference, until: Instant) -> Answer {
        self.desk.ask(&Question { image, candidates: &self.candidates, role: Role::Mirror }, until).await
    }
}

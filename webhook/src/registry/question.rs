//! What a review wants to know: an image, and as whom it is asked.

use std::{borrow::Cow, time::Duration};

use super::credentials::Candidates;
use crate::image::{Digest, Reference};

/// A question to a registry.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked for.
    pub image: &'a Reference,
    /// As whom; without credentials where none of them is let in.
    pub candidates: &'a Candidates,
    /// What hangs on the answer.
    pub role: Role,
}

/// What hangs on the answer of a registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It says what the image is.
    Source,
    /// There is another way: a mirror that has failed once is not waited for again.
    Mirror,
}

impl<'a> Question<'a> {
    /// The question to the registry that `image` names, asked as `candidates`.
    pub fn new(image: &'a Reference, candidates: &'a Candidates) -> Self {
        Self { image, candidates, role: Role::Source }
    }

    /// What two questions must have in common to share an answer: what is asked for, and as whom.
    ///
    /// No tenant learns another's digest, nor whether it was asked for before.
    pub fn key(&self) -> Cow<'a, str> {
        let target = self.image.target();
        match self.candidates.key() {
            None => target,
            Some(key) => Cow::Owned([&*target, " ", key].concat()),
        }
    }
}

/// A digest from when the registry last gave one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastKnown {
    /// The digest.
    pub digest: Digest,
    /// How long ago the registry was asked for it.
    pub age: Duration,
}

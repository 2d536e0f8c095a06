//! `pin:` — which tags are mutable, and what a missing digest means.

use std::time::Duration;

use crate::image::{Pattern, Reference};

/// The section `pin`.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Patterns of mutable tags; an image without a tag counts as `latest`.
    pub tags: Vec<Pattern>,
    /// Patterns of repositories (`docker.io/library/auto`) that are left alone: placeholders that other webhooks fill in.
    pub ignore: Vec<Pattern>,
    /// Write `name:tag@sha256:…`, which people can still read, instead of `name@sha256:…`.
    pub keep_tag: bool,
    /// How old an answer of the registry may be; zero: asked anew for every review.
    pub max_age: Duration,
    /// What happens to a Pod whose tag could not be resolved.
    pub on_failure: OnFailure,
}

impl Pin {
    /// Whether `image` has a tag that this configuration calls mutable.
    pub fn covers(&self, image: &Reference) -> bool {
        let mutable = |tag| self.tags.iter().any(|pattern| pattern.matches(tag));
        image.effective_tag().is_some_and(mutable)
    }

    /// Whether `image` is a placeholder that some other webhook fills in.
    pub fn ignores(&self, image: &Reference) -> bool {
        if self.ignore.is_empty() {
            return false;
        }
        let repository = image.repository();
        self.ignore.iter().any(|pattern| pattern.matches(&repository))
    }
}

/// What happens to a Pod when a digest cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnFailure {
    /// Admitted with the image unchanged, and a note.
    Admit,
    /// Refused, with the reason.
    Deny,
}

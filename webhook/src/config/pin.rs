//! `pin:` — which tags are mutable, and what a missing digest means.

use std::time::Duration;

use super::{PullPolicyChange, load::Profile, section::Section, value};
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
    /// How long the last digest that a registry gave may stand in while the registry is down; zero: never.
    pub last_known_good: Duration,
    /// What happens to a Pod whose tag could not be resolved.
    pub on_failure: OnFailure,
    /// What happens to `name:tag@sha256:…` where the tag means something else now.
    pub repin: Repin,
    /// Patterns of repositories, as in `ignore`, that [`Repin::Replace`] is about; others are warned about.
    pub repin_images: Vec<Pattern>,
    /// What happens to `Always` on an image that was pinned.
    pub pull_policy: PullPolicyChange,
}

impl Pin {
    pub(super) fn read(mut section: Section<'_, '_>, profile: Profile) -> Self {
        let mutable = match profile {
            Profile::Production => "latest",
            Profile::Dev => "*",
        };
        let failures = [("admit", OnFailure::Admit), ("deny", OnFailure::Deny)];
        let repins = [("off", Repin::Off), ("warn", Repin::Warn), ("replace", Repin::Replace)];
        let changes = [("keep", PullPolicyChange::Keep), ("IfNotPresent", PullPolicyChange::IfNotPresent)];
        let usual_repin = if profile == Profile::Dev { Repin::Replace } else { Repin::Off };
        let mut pin = Self {
            tags: section.list("tags", value::parsed).unwrap_or_else(|| patterns(mutable)),
            ignore: section.list("ignore", value::parsed).unwrap_or_else(|| patterns(PLACEHOLDER)),
            keep_tag: section.value("keepTag", value::boolean).unwrap_or(true),
            max_age: section.value("maxAge", value::duration).unwrap_or_default(),
            last_known_good: Duration::ZERO,
            on_failure: section.value("onFailure", value::choice(&failures)).unwrap_or(OnFailure::Admit),
            repin: section.value("repin", value::choice(&repins)).unwrap_or(usual_repin),
            repin_images: section.list("repinImages", value::parsed).unwrap_or_default(),
            pull_policy: section.value("pullPolicy", value::choice(&changes)).unwrap_or(PullPolicyChange::Keep),
        };
        let trusting = profile == Profile::Production && pin.on_failure == OnFailure::Admit;
        let usual = if trusting { LAST_KNOWN_GOOD } else { Duration::ZERO };
        pin.last_known_good = section.value("lastKnownGood", value::duration).unwrap_or(usual);
        section.finish();
        pin
    }

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

    /// Whether `image` is named by [`repin_images`](Self::repin_images).
    pub(super) fn repins(&self, image: &Reference) -> bool {
        let repository = image.repository();
        self.repin_images.iter().any(|pattern| pattern.matches(&repository))
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

/// What happens to an image with a tag and a digest where the tag means something else now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repin {
    /// Nothing is asked.
    Off,
    /// A note says so.
    Warn,
    /// The digest is replaced.
    Replace,
}

/// A default, written as in a file.
fn patterns(text: &str) -> Vec<Pattern> {
    text.parse().into_iter().collect()
}

/// What sidecar injectors write where they fill in the image later (Istio's `image: auto`).
const PLACEHOLDER: &str = "docker.io/library/auto";
/// How long a digest stands in for a registry that is down, where nobody says otherwise.
const LAST_KNOWN_GOOD: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, parse};

    fn config(body: &str) -> Config {
        let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{body}\n");
        parse(&text, "test").unwrap_or_else(|error| panic!("{error}")).0
    }

    #[test]
    fn last_known_good_stands_in_only_where_failures_are_admitted() {
        let hours = |body: &str| config(body).pin.last_known_good.as_secs() / 3600;
        assert_eq!(hours(""), 24);
        assert_eq!(hours("profile: dev"), 0);
        assert_eq!(hours("pin: {onFailure: deny}"), 0);
        assert_eq!(hours("pin: {onFailure: deny, lastKnownGood: 2h}"), 2);
        assert_eq!(hours("pin: {lastKnownGood: 0s}"), 0);
    }

    #[test]
    fn a_digest_is_replaced_where_people_say_so() {
        let repin = |body: &str, image: &str| {
            let image = image.replace("@D", &format!("@sha256:{}", "7".repeat(64)));
            config(body).repin(&image.parse().unwrap())
        };
        assert_eq!(repin("", "nginx:latest@D"), Repin::Off);
        assert_eq!(repin("pin: {repin: warn}", "nginx:latest@D"), Repin::Warn);
        let replace = "pin: {repin: replace, repinImages: ['docker.io/library/*', 'localhost:5001/*']}";
        assert_eq!(repin(replace, "nginx:latest@D"), Repin::Replace);
        assert_eq!(repin(replace, "localhost:5001/app:latest@D"), Repin::Replace);
        assert_eq!(repin(replace, "quay.io/nginx:latest@D"), Repin::Warn);
        assert_eq!(repin(replace, "nginx:1.27@D"), Repin::Off, "`pin.tags` says that this tag never moves");
        assert_eq!(repin(replace, "nginx@D"), Repin::Off, "there is no tag");
        assert_eq!(repin(replace, "nginx:latest"), Repin::Off, "it is pinned, not re-pinned");
        assert_eq!(repin("profile: dev", "localhost:5001/app:v2@D"), Repin::Warn, "nobody says that it is local");
        let mut local = config("profile: dev\nregistries: [{host: 'localhost:5001'}]");
        local.registries.iter_mut().for_each(|registry| registry.local = true);
        let image = format!("localhost:5001/app:v2@sha256:{}", "7".repeat(64)).parse().unwrap();
        assert_eq!(local.repin(&image), Repin::Replace);
    }
}

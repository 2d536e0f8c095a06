//! **mirror** — which mirror has the image. The waiting for mirrors is here.

mod stop;

use std::time::{Duration, Instant};

use self::stop::{Failure, Stop};
use super::{
    Desk, Plan,
    budget::{Budget, share},
    pin::{Answer, each_once},
};
use crate::{
    config::{Config, Fallback, Repin, Resolve as ResolveAt},
    image::{Digest, Reference},
    registry::{self, Resolve},
};

/// The mirrors that may replace one image's source, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Detour<'a> {
    stops: Vec<Stop<'a>>,
}

/// What the mirrors said about one image.
#[derive(Clone, Debug, Default)]
pub struct Mirrored {
    /// The first mirror that has the image.
    pub found: Option<Found>,
    /// Where none has it now: the first that had it when it could be asked for the last time, which is how long ago, and
    /// why it cannot be asked now. Only where mirrors say what tags mean.
    pub remembered: Option<(Found, Duration, registry::Error)>,
    /// Why the mirrors asked before it, or all, do not serve.
    pub failures: Vec<registry::Error>,
    /// No mirror has it, and a rule forbids the source.
    pub denied: bool,
}

/// An image at a mirror.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name there, with the tag that it had.
    pub image: Reference,
    /// What the mirror was asked for, and has.
    pub digest: Digest,
    /// What its tag means there now, where that is another build and people are only told.
    pub newer: Option<Digest>,
    /// What nodes need to pull it.
    pub pull_secret: Option<String>,
}

/// Asks the mirrors of all images together; `answers` is what the sources said.
pub async fn mirror<R: Resolve>(
    desk: &Desk<'_, R>,
    plans: &[Plan<'_>],
    answers: &[Option<Answer>],
    budget: &Budget,
) -> Vec<Option<Mirrored>> {
    let until = budget.mirrors();
    let questions = plans.iter().zip(answers).map(|(plan, answer)| {
        let image = plan.image()?;
        (plan.asks() && plan.detour.asks_mirror()).then(|| (image, Wish::of(plan, image, answer.as_ref())))
    });
    each_once(questions, async |_, wish| wish.walk(desk, until).await).await
}

impl<'a> Detour<'a> {
    /// The rules that are about `image`, most specific first; none are about the cluster's local registry.
    ///
    /// Where a rule resolves at its mirror the source is never asked, and no wider rule leads back to it:
    /// whoever owns the name at the source must not win.
    pub fn of(image: &Reference, config: &'a Config) -> Self {
        if config.mirror.rules.is_empty() || config.is_local_registry(image.host()) {
            return Self::default();
        }
        let repository = image.repository();
        let mut stops: Vec<_> =
            config.mirror.rules.iter().filter_map(|rule| Stop::of(rule, image, &repository)).collect();
        if stops.iter().any(|stop| stop.rule.resolve == ResolveAt::Mirror) {
            stops.retain(|stop| stop.rule.resolve == ResolveAt::Mirror);
        }
        Self { stops }
    }

    /// Whether the source may say what the tag means.
    pub fn asks_source(&self) -> bool {
        self.stops.iter().all(|stop| stop.rule.resolve == ResolveAt::Source)
    }

    /// Whether a mirror is to be asked.
    pub fn asks_mirror(&self) -> bool {
        !self.stops.is_empty()
    }

    /// The pull secrets by which nodes pull from these mirrors.
    pub fn pull_secrets(&self) -> impl Iterator<Item = &'a str> {
        self.stops.iter().filter_map(|stop| stop.rule.pull_secret.as_deref())
    }

    /// The image's name at the first mirror.
    pub fn first(&self) -> Option<&str> {
        self.stops.first().and_then(Stop::name)
    }
}

/// What the mirrors of one image are asked for.
#[derive(Clone, Copy, Debug)]
struct Wish<'a> {
    detour: &'a Detour<'a>,
    /// None where nobody has said one: then (`resolve: mirror`) the mirror says what the tag means.
    digest: Option<&'a Digest>,
    /// The digest that the image has, where another one is wished for.
    old: Option<&'a Digest>,
    repin: Repin,
}

impl<'a> Wish<'a> {
    fn of(plan: &'a Plan<'a>, image: &'a Reference, answer: Option<&'a Answer>) -> Self {
        let repin = plan.facts.map_or(Repin::Off, |facts| facts.repin);
        let own = image.digest();
        let meant = match own {
            None => answer.and_then(Answer::digest),
            // Memory may be older than what is written.
            Some(_) if repin == Repin::Replace => answer.and_then(|answer| answer.now.as_ref().ok()),
            Some(_) => None,
        };
        let old = own.filter(|own| meant.is_some_and(|meant| meant != *own));
        Self { detour: &plan.detour, digest: meant.or(own), old, repin }
    }

    /// What a mirror has is not lost by a wish for something newer, where there is no way back to the source.
    async fn walk<R: Resolve>(self, desk: &Desk<'_, R>, until: Instant) -> Mirrored {
        let mirrored = self.ask(desk, until).await;
        if mirrored.denied && self.old.is_some() {
            return Self { digest: self.old, old: None, ..self }.ask(desk, until).await;
        }
        mirrored
    }

    /// Asks one mirror after the other.
    async fn ask<R: Resolve>(self, desk: &Desk<'_, R>, until: Instant) -> Mirrored {
        let mut mirrored = Mirrored::default();
        let mut left = u32::try_from(self.detour.stops.len()).unwrap_or(u32::MAX);
        for stop in &self.detour.stops {
            let asked = stop.ask(desk, self.digest, self.repin, share(until, left)).await;
            left = left.saturating_sub(1);
            match asked {
                None => {} // nobody said what to ask for
                Some(Ok(found)) => {
                    mirrored.found = Some(found);
                    return mirrored;
                }
                Some(Err(Failure { error, remembered })) => {
                    if let (None, Some((found, age))) = (&mirrored.remembered, remembered) {
                        mirrored.remembered = Some((found, age, error.clone()));
                    }
                    mirrored.failures.push(error);
                }
            }
        }
        mirrored.denied = self.detour.stops.iter().any(|stop| stop.rule.fallback == Fallback::Deny);
        mirrored
    }
}

#[cfg(test)]
mod tests;

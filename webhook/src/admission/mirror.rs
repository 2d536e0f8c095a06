//! **mirror** — which mirror has the image. The waiting for mirrors is here.

use std::time::Instant;

use super::{
    Desk, Plan,
    pin::{Answer, each_once, share},
};
use crate::{
    config::{Fallback, Mirror, Resolve as ResolveAt, Rule},
    image::{Digest, Reference},
    registry::{self, Candidates, Question, Resolve, Role},
};

/// The mirrors that may replace one image's source, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Detour<'a> {
    /// Each rule with the name that the image has at its mirror.
    stops: Vec<(&'a Rule, Reference)>,
}

/// What the mirrors said about one image.
#[derive(Clone, Debug, Default)]
pub struct Mirrored {
    /// The image at the mirror that has it, and the digest that was checked there.
    pub found: Option<(Reference, Digest)>,
    /// Why the mirrors asked before it, or all, do not serve.
    pub failures: Vec<registry::Error>,
    /// No mirror has it, and a rule forbids the source.
    pub denied: bool,
}

/// Asks the mirrors of all images together; `answers` is what the sources said.
pub async fn mirror<R: Resolve>(
    desk: &Desk<'_, R>,
    plans: &[Plan<'_>],
    answers: &[Answer],
    deadline: Instant,
) -> Vec<Option<Mirrored>> {
    let questions = plans.iter().zip(answers).map(|(plan, answer)| {
        let image = plan.image()?;
        let source = answer.as_ref().and_then(|answer| answer.as_ref().ok());
        let digest = image.digest().or(source);
        (plan.asks() && plan.detour.asks_mirror()).then_some((image, (&plan.detour, digest)))
    });
    each_once(questions, |_, (detour, digest)| detour.walk(desk, digest, deadline)).await
}

impl<'a> Detour<'a> {
    /// The rules that are about `image`, most specific first.
    ///
    /// Where a rule resolves at its mirror the source is never asked, and no wider rule leads back to it:
    /// whoever owns the name at the source must not win.
    pub fn of(image: &Reference, config: &'a Mirror) -> Self {
        if config.rules.is_empty() {
            return Self::default();
        }
        let repository = image.repository();
        let matching = config.rules.iter().filter_map(|rule| {
            let name = rule.rewrite(&repository)?;
            Some((rule, image.renamed(&name).ok()?))
        });
        let mut stops: Vec<_> = matching.collect();
        if stops.iter().any(|(rule, _)| rule.resolve == ResolveAt::Mirror) {
            stops.retain(|(rule, _)| rule.resolve == ResolveAt::Mirror);
        }
        Self { stops }
    }

    /// Whether the source may say what the tag means.
    pub fn asks_source(&self) -> bool {
        self.stops.iter().all(|(rule, _)| rule.resolve == ResolveAt::Source)
    }

    /// Whether a mirror is to be asked.
    pub fn asks_mirror(&self) -> bool {
        !self.stops.is_empty()
    }

    /// Asks one mirror after the other: for `digest` where it is known, else (`resolve: mirror`) for the tag.
    async fn walk<R: Resolve>(&self, desk: &Desk<'_, R>, digest: Option<&Digest>, deadline: Instant) -> Mirrored {
        let mut mirrored = Mirrored::default();
        let mut left = u32::try_from(self.stops.len()).unwrap_or(u32::MAX);
        for (rule, image) in &self.stops {
            let until = share(deadline, left);
            left = left.saturating_sub(1);
            let asked = match (digest, rule.resolve) {
                (Some(digest), _) => image.pinned(digest, false),
                (None, ResolveAt::Mirror) => image.clone(),
                (None, ResolveAt::Source) => continue, // nobody said what to ask for
            };
            // A node without secrets asks without credentials, and it is the node that pulls.
            let candidates = if rule.pull_secret.is_some() || rule.nodes_have_credentials {
                desk.keychain.candidates(&asked, &desk.asker)
            } else {
                Candidates::anonymous()
            };
            let question = Question { image: &asked, candidates: &candidates, role: Role::Mirror };
            match desk.registry.resolve(&question, until).await {
                Ok(digest) => {
                    mirrored.found = Some((image.clone(), digest));
                    return mirrored;
                }
                Err(error) => mirrored.failures.push(error),
            }
        }
        mirrored.denied = self.stops.iter().any(|(rule, _)| rule.fallback == Fallback::Deny);
        mirrored
    }
}

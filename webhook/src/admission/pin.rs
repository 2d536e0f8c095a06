//! **pin** — what each tag means at its own registry now. The waiting for sources is here.

use std::{collections::HashMap, time::Instant};

use futures::future::join_all;

use super::{Desk, Plan};
use crate::{
    image::{Digest, Reference},
    registry::{Error, Question, Resolve},
};

/// What a source said; none where it was not asked.
pub type Answer = Option<Result<Digest, Error>>;

/// Asks the sources of all images together, each reference once: one digest per reference per Pod.
///
/// Where mirrors are to be asked afterwards, half of the time is left for them.
pub async fn pin<R: Resolve>(desk: &Desk<'_, R>, plans: &[Plan<'_>], deadline: Instant) -> Vec<Answer> {
    let asked = |plan: &Plan<'_>| plan.asks() && plan.detour.asks_source();
    let mirrors_follow = plans.iter().any(|plan| asked(plan) && plan.detour.asks_mirror());
    let until = if mirrors_follow { share(deadline, 2) } else { deadline };
    let questions = plans.iter().map(|plan| {
        let image = plan.image()?;
        (asked(plan) && image.digest().is_none()).then_some((image, ()))
    });
    each_once(questions, async |image, ()| {
        let candidates = desk.keychain.candidates(image, &desk.asker);
        desk.registry.resolve(&Question::new(image, &candidates), until).await
    })
    .await
}

/// Calls `ask` once for each different image, and hands its answer to every plan that has that image.
pub(super) async fn each_once<'a, C, T, F>(
    questions: impl Iterator<Item = Option<(&'a Reference, C)>>,
    ask: impl Fn(&'a Reference, C) -> F,
) -> Vec<Option<T>>
where
    T: Clone,
    F: Future<Output = T>,
{
    let most = questions.size_hint().1.unwrap_or_default();
    let (mut different, mut seen) = (Vec::with_capacity(most), HashMap::with_capacity(most));
    let places: Vec<Option<usize>> = questions
        .map(|question| {
            let (image, context) = question?;
            let place = seen.entry(image).or_insert(different.len());
            if *place == different.len() {
                different.push(ask(image, context));
            }
            Some(*place)
        })
        .collect();
    let mut answers: Vec<T> = Vec::with_capacity(different.len());
    let mut different = different.into_iter();
    while different.len() > 0 {
        answers.extend(join_all(different.by_ref().take(AT_ONCE)).await);
    }
    places.into_iter().map(|place| answers.get(place?).cloned()).collect()
}

/// When the first of `parts` equal shares of the time until `deadline` is over.
pub(super) fn share(deadline: Instant, parts: u32) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / parts.max(1)
}

/// Questions of one Pod under way at the same time: few Pods have more images, and a forged one gains nothing.
const AT_ONCE: usize = 30;

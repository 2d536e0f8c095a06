//! **pin** — what each tag means at its own registry now. The waiting for sources is here.

use std::{collections::HashMap, time::Instant};

use futures::future::join_all;

use super::{Desk, Plan, budget::Budget};
use crate::{
    image::{Digest, Reference},
    registry::{Error, LastKnown, Question, Resolve},
};

/// What a registry said to one question.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it said now.
    pub now: Result<Digest, Error>,
    /// What it said when it could be asked for the last time; only where it cannot be asked now.
    pub last_known: Option<LastKnown>,
}

impl Answer {
    /// The digest that it gave, now or then.
    pub fn digest(&self) -> Option<&Digest> {
        self.now.as_ref().ok().or(self.last_known.as_ref().map(|known| &known.digest))
    }
}

/// Asks the sources of all images together, each reference once: one digest per reference per Pod.
///
/// The answer is none where the source was not asked.
pub async fn pin<R: Resolve>(desk: &Desk<'_, R>, plans: &[Plan<'_>], budget: &Budget) -> Vec<Option<Answer>> {
    let asked = |plan: &Plan<'_>| plan.source_question().is_some();
    let until = budget.sources(plans.iter().any(|plan| asked(plan) && plan.detour.asks_mirror()));
    let questions = plans.iter().map(|plan| Some((plan.source_question()?, ())));
    each_once(questions, async |image, ()| {
        let candidates = desk.keychain.candidates(image, &desk.asker);
        desk.ask(&Question::new(image, &candidates), until).await
    })
    .await
}

impl<R: Resolve> Desk<'_, R> {
    /// Asks, and where the registry cannot be asked looks up what it said before.
    ///
    /// A registry that says no, or something that cannot be trusted, is not served from memory: it is there.
    pub(super) async fn ask(&self, question: &Question<'_>, until: Instant) -> Answer {
        let now = self.registry.resolve(question, until).await;
        let outage = now.as_ref().is_err_and(Error::is_outage);
        let last_known = if outage { self.registry.last_known(question) } else { None };
        Answer { now, last_known }
    }
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

/// Questions of one Pod under way at the same time: few Pods have more images, and a forged one gains nothing.
const AT_ONCE: usize = 30;

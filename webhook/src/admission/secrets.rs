//! Which pull secrets a review needs. The waiting for them is here.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Moment, Plan, Subject, budget::Budget, decode::Pod, mirror::Mirrored, note::Note, pin::Answer};
use crate::pull_secrets::{Given, PullSecrets};

/// What the pull secrets give by which the images of `plans` would be pulled: those that the Pod names, which at
/// creation are those of its `ServiceAccount` where it names none itself (the API server writes them into the Pod before
/// it calls), and those that mirror rules add.
///
/// For proven callers only: whoever else reaches the port could name any Pod in any namespace.
pub async fn given(secrets: Option<&PullSecrets>, subject: &Subject<'_>, plans: &[Plan<'_>], budget: &Budget) -> Given {
    if !plans.iter().any(Plan::asks) {
        return Given::default();
    }
    let mut names = named(subject.pod);
    let Some(secrets) = secrets.filter(|_| subject.proven) else {
        return Given { unread: !names.is_empty(), ..Given::default() };
    };
    let unknown = names.is_empty() && subject.moment == Moment::Planned;
    let asking = plans.iter().filter(|plan| plan.asks());
    names.extend(asking.flat_map(|plan| plan.detour.pull_secrets()).map(Cow::Borrowed));
    let names = different(&names);
    if names.is_empty() {
        return Given { unknown, ..Given::default() };
    }
    Given { unknown, ..secrets.read(subject.namespace, &names, budget.secrets()).await }
}

/// What people should know about pull secrets that could not be used: nothing where every image was found without them.
pub fn notes(given: &Given, answers: &[Option<Answer>], mirrored: &[Option<Mirrored>]) -> Vec<Note> {
    let by_sources = answers.iter().flatten().all(|answer| answer.now.is_ok());
    let by_mirrors = mirrored.iter().flatten().all(|mirrored| mirrored.found.is_some());
    if by_sources && by_mirrors {
        return Vec::new();
    }
    let problems = given.problems.iter().map(|problem| Note::attention(problem.to_string()));
    problems.chain(given.unknown.then(|| Note::info(UNKNOWN))).collect()
}

/// `spec.imagePullSecrets`. What is no such list is the API server's business.
fn named<'a>(pod: &Pod<'a>) -> Vec<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Reference<'a> {
        #[serde(borrow, default)]
        name: Cow<'a, str>,
    }
    let Some(raw) = pod.spec.image_pull_secrets else { return Vec::new() };
    let list: Option<Vec<Reference<'a>>> = serde_json::from_str(raw.get()).unwrap_or_default();
    list.into_iter().flatten().map(|reference| reference.name).collect()
}

/// The names in their order, each once. A forged crowd of names must not cost its square: what is beyond the first
/// [`MOST_COMPARED`] is not looked at.
fn different<'a>(names: &'a [Cow<'_, str>]) -> Vec<&'a str> {
    let mut different = Vec::new();
    for name in names.iter().map(|name| &**name).filter(|name| !name.is_empty()).take(MOST_COMPARED) {
        if !different.contains(&name) {
            different.push(name);
        }
    }
    different
}

const UNKNOWN: &str = "asked without the pull secrets of its ServiceAccount, which its Pods will have";
/// More than are read.
const MOST_COMPARED: usize = 64;

#[cfg(test)]
mod tests;

//! Who is told what, and not the same thing again at each look.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tracing::{debug, info, warn};

use super::{Failure, Look};
use crate::{About, News, Observer, Subject, plan, settings::Settings, store::StoreError};

/// The observer, and what it knows already.
pub(super) struct Teller<O> {
    observer: O,
    namespace: String,
    /// What is wrong with an object: its version, and the words.
    known: Mutex<HashMap<Subject, (Option<String>, String)>>,
}

impl<O: Observer> Teller<O> {
    pub(super) fn new(settings: &Settings, observer: O) -> Self {
        Self { observer, namespace: settings.namespace.clone(), known: Mutex::default() }
    }

    /// The objects were read. What is wrong with one is told once for each version of it.
    pub(super) fn looked(&self, look: &Look, settings: &Settings) {
        let Look { state, now, .. } = look;
        self.observer.looked(&plan::status(*now, state, settings));
        let found = plan::findings(*now, state, settings);
        let mut news = Vec::new();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|subject, _| found.iter().any(|(other, _)| other == subject));
            for (subject, finding) in found {
                let seen = (state.version(&subject, settings), finding.to_string());
                if known.insert(subject.clone(), seen.clone()) != Some(seen) {
                    news.push((subject, finding));
                }
            }
        }
        for (subject, finding) in news {
            let uid = state.uid(&subject, settings);
            self.happened(subject, uid, &finding.news());
        }
    }

    /// A step has succeeded.
    pub(super) fn happened(&self, subject: Subject, uid: Option<String>, news: &News) {
        let (kind, name) = (subject.kind(), subject.name());
        if news.is_warning() {
            warn!(kind, name, reason = news.reason(), "{news}");
        } else {
            info!(kind, name, reason = news.reason(), "{news}");
        }
        let namespace = matches!(subject, Subject::Secret(_)).then(|| self.namespace.clone());
        self.observer.happened(&About { subject, namespace, uid }, news);
    }

    /// A call of the API server failed; `uid` is not known.
    pub(super) fn trouble(&self, error: &StoreError) {
        self.happened(error.subject.clone(), None, &News::CertificateTrouble { why: error.to_string() });
    }

    /// A step has failed, and will be tried again.
    pub(super) fn failed(&self, failure: &Failure) {
        match failure {
            Failure::Store(error) if error.is_conflict() => debug!(%error, "somebody else was first"),
            Failure::Store(error) => self.trouble(error),
            Failure::Issue { subject, .. } => {
                let why = failure.to_string();
                self.happened(subject.clone(), None, &News::CertificateTrouble { why });
            }
        }
    }
}

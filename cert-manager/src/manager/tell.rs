//! Who is told what, and not the same thing again at each look.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Failure, Look};
use crate::{About, News, Observer, Subject, plan, settings::Settings, store::StoreError};

/// The observer, and what it knows already.
pub(super) struct Teller<O> {
    observer: O,
    namespace: String,
    /// What is wrong with an object of a version, in words.
    known: Mutex<HashSet<(Subject, Option<String>, String)>>,
    /// What went wrong in the last minute.
    troubles: Mutex<HashMap<String, Instant>>,
}

impl<O: Observer> Teller<O> {
    pub(super) fn new(settings: &Settings, observer: O) -> Self {
        Self { observer, namespace: settings.namespace.clone(), known: Mutex::default(), troubles: Mutex::default() }
    }

    /// The objects were read. What is wrong with one is told once for each version of it.
    pub(super) fn looked(&self, look: &Look, settings: &Settings) {
        let Look { state, now, .. } = look;
        self.observer.looked(&plan::status(*now, state, settings));
        let found = plan::findings(*now, state, settings);
        let mut news = Vec::new();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let before = mem::take(&mut *known);
            for (subject, finding) in found {
                let seen = (subject.clone(), state.version(&subject, settings), finding.to_string());
                if !before.contains(&seen) {
                    news.push((subject, finding));
                }
                known.insert(seen);
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

    /// A watch broke off after so many failures in a row, and is taken up again. What is wrong for longer is told by whoever
    /// reads, unless only watching is forbidden.
    pub(super) fn unheard(&self, error: &StoreError, before: u32) {
        if error.fault.may_pass() || before < PATIENT {
            info!(%error, "a watch broke off");
        } else {
            self.trouble(error);
        }
    }

    /// A step has failed, after so many failures in a row, and will be tried again. An API server that restarts is no news;
    /// it may also forbid what it allows a moment later, when it has read all roles.
    pub(super) fn failed(&self, failure: &Failure, before: u32) {
        match failure {
            Failure::Store(error) if error.is_conflict() => debug!(%error, "somebody else was first"),
            Failure::Store(error) if before < PATIENT => info!(%error, "tried again soon"),
            Failure::Store(error) => self.trouble(error),
            Failure::Issue { subject, .. } => {
                let why = failure.to_string();
                self.happened(subject.clone(), None, &News::CertificateTrouble { why });
            }
        }
    }

    /// The API server does not do what it should; the uid of the object is not known.
    fn trouble(&self, error: &StoreError) {
        let (subject, why, now) = (error.subject.clone(), error.to_string(), Instant::now());
        {
            let mut told = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
            told.retain(|_, told| now < *told + TELL_EVERY);
            if told.contains_key(&why) {
                return;
            }
            told.insert(why.clone(), now);
        }
        self.happened(subject, None, &News::CertificateTrouble { why });
    }
}

/// Failures in a row that may have passed by the time somebody reads of them: some seconds.
const PATIENT: u32 = 4;
/// Time between two reports of the same trouble.
const TELL_EVERY: Duration = Duration::from_secs(60);

//! What would happen to the Pods of a workload, said where people are: at `kubectl apply`.
//!
//! Warnings of Pods that controllers make are heard by nobody. So the steps of a review are gone through for the Pod
//! that the workload's template describes, and what would be noted or refused is answered as warnings. Nothing is ever
//! changed or refused here, and what goes well is not mentioned.

mod decode;
mod lines;
mod makers;

use std::time::Instant;

pub use self::makers::owner_by_kind;
use self::{
    decode::{Workload, names_nothing_new},
    makers::owner_by_resource,
};
use super::{
    App, Caller, Mode, Moment, Subject,
    decode::{Error, Pod, Request, Review, read},
    respond,
};
use crate::{registry::Resolve, telemetry::outcome};

impl<R: Resolve> App<R> {
    /// Answers one request about a workload: the body of an `AdmissionReview` in, the body of its answer out.
    ///
    /// # Errors
    /// [`Error`] for a body that no answer could be given to; it is the caller's 400.
    pub async fn warn(&self, mode: Mode, caller: Caller, body: &[u8], deadline: Instant) -> Result<Vec<u8>, Error> {
        let request = match read::<Workload<'_>, Workload<'_>>(body)? {
            Review::Readable(request) => *request,
            Review::Opaque { uid, reason } => {
                self.metrics.workload(outcome::Workload::Skipped);
                return Ok(respond::unreadable(&uid, "a workload", &reason));
            }
        };
        let uid = request.uid.clone();
        let Some(planned) = Planned::of(request) else {
            self.metrics.workload(outcome::Workload::Skipped);
            return Ok(respond::warned(&uid, Vec::new()));
        };
        let verdict = self.decide(&planned.subject(caller), deadline).await;
        let lines = lines::lines(&planned.name, mode, &verdict);
        self.metrics.workload(match &*lines {
            [] if verdict.skipped => outcome::Workload::Skipped,
            [] => outcome::Workload::Silent,
            [..] => outcome::Workload::Warned,
        });
        Ok(respond::warned(&uid, lines))
    }
}

/// The Pod that a workload would make.
#[derive(Debug)]
struct Planned<'a> {
    /// The workload's name.
    name: String,
    namespace: String,
    pod: Pod<'a>,
}

impl<'a> Planned<'a> {
    /// None where nothing is to be said: the request is about something else, or nobody hears it, or nothing about
    /// images is new.
    fn of(request: Request<'a, Workload<'a>, Workload<'a>>) -> Option<Self> {
        let owner = owner_by_resource(&request.resource)?;
        let Request { object: workload, old_object, .. } = request;
        let old = match &*request.operation {
            _ if !request.sub_resource.is_empty() => return None,
            "CREATE" => None,
            "UPDATE" => old_object,
            _ => return None,
        };
        if workload.is_owned() {
            return None; // it was made by a program, and where a person made that, it was heard there
        }
        let name = workload.name();
        let mut pod = workload.into_template();
        if old.is_some_and(|old| names_nothing_new(&pod, &old.into_template())) {
            return None;
        }
        pod.metadata.owner_references = vec![owner];
        Some(Self { name, namespace: request.namespace.into_owned(), pod })
    }

    fn subject(&self, caller: Caller) -> Subject<'_> {
        Subject {
            pod: &self.pod,
            old: None,
            namespace: &self.namespace,
            moment: Moment::Planned,
            proven: caller == Caller::Proven,
        }
    }
}

#[cfg(test)]
mod tests;

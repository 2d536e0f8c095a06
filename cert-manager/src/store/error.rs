//! Why the API server did not do what was asked.

use std::time::Duration;

use crate::Subject;

/// A call of the API server that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {} `{}`: {fault}", .subject.resource(), .subject.name())]
pub struct StoreError {
    /// What was tried, as it stands in roles.
    pub verb: &'static str,
    /// With which object.
    pub subject: Subject,
    /// What came of it.
    pub fault: Fault,
}

/// Whose move it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Somebody else was first: the object is to be read again.
    #[error("it has changed meanwhile")]
    Conflict,
    /// The role lacks a right.
    #[error("it is forbidden. Give the ServiceAccount a role that allows it ({said})")]
    Forbidden {
        /// The API server.
        said: String,
    },
    /// The object would not be valid, or a policy refuses it.
    #[error("the API server refuses it: {said}")]
    Rejected {
        /// The API server.
        said: String,
    },
    /// There was no answer, or none that helps; a later call may succeed.
    #[error("{said}")]
    Unavailable {
        /// The API server, or the connection to it.
        said: String,
    },
    /// There was no answer in time.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl StoreError {
    /// Whether somebody else was first.
    pub fn is_conflict(&self) -> bool {
        matches!(self.fault, Fault::Conflict)
    }
}

impl Fault {
    /// Whether a later call may succeed though nobody changes anything.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable { .. } | Self::Silent(_))
    }

    /// What the API server meant by an error to `verb`. What is to be patched was there when it was read.
    pub(super) fn of(error: &kube::Error, verb: &str) -> Self {
        let said = error_text(error);
        match error {
            kube::Error::Api(status) if status.code == CONFLICT => Self::Conflict,
            kube::Error::Api(status) if status.code == NOT_FOUND && verb == "patch" => Self::Conflict,
            kube::Error::Api(status) if status.is_forbidden() => Self::Forbidden { said },
            kube::Error::Api(status)
                if (BAD_REQUEST..SERVER_FAULT).contains(&status.code) && status.code != TOO_MANY =>
            {
                Self::Rejected { said }
            }
            _ => Self::Unavailable { said },
        }
    }
}

/// What the API server said; kube prints whole structures otherwise.
fn error_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

const BAD_REQUEST: u16 = 400;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const TOO_MANY: u16 = 429;
const SERVER_FAULT: u16 = 500;

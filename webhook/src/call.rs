//! One call of the API server, with an end.

use std::time::Duration;

use tokio::time::timeout;

/// Bounds the wait for one answer.
pub(crate) async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(LIMIT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Silent),
    }
}

/// Why a call of the API server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server did not answer within {} s", LIMIT.as_secs())]
    Silent,
}

impl Failure {
    /// The object is gone.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_not_found())
    }

    /// The object is there already.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_already_exists())
    }

    /// The object is another one than it was: its resource version or uid, or a `test` of the patch, says so. Also
    /// where the result of a patch is not valid.
    pub(crate) fn is_changed(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if matches!(status.code, CONFLICT | UNPROCESSABLE))
            && !self.is_there()
    }

    /// We have no right to it, or a policy refuses it.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_forbidden())
    }

    /// The same call may succeed later: there was no answer, or one that says so.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Api(kube::Error::Api(status)) => status.code == TOO_MANY || status.code >= SERVER_FAULT,
            Self::Api(_) | Self::Silent => true,
        }
    }
}

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(10);
const CONFLICT: u16 = 409;
const UNPROCESSABLE: u16 = 422;
const TOO_MANY: u16 = 429;
const SERVER_FAULT: u16 = 500;

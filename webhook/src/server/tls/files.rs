//! A certificate and its key in files.

use std::{
    convert::Infallible,
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokio::{fs, time};
use tracing::{info, warn};

use super::{Identity, Tls, reason};
use crate::telemetry::{Metrics, outcome::Refused};

/// A certificate and its key in files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, PEM, the leaf first.
    pub certificate: PathBuf,
    /// The leaf's key, PEM.
    pub key: PathBuf,
}

impl Files {
    /// Reads and checks both.
    pub async fn load(&self) -> Result<Identity, Error> {
        let (certificate, key) = self.read().await?;
        Ok(Identity::from_pem(&certificate, &key)?)
    }

    /// Looks at the files for ever, and serves what changed. Content is compared, because a kubelet swaps symlinks
    /// in several steps; what is broken half-way is looked at again when it changes.
    pub async fn follow(&self, tls: &Tls, metrics: &Metrics) -> Infallible {
        let (mut seen, mut told) = (None, String::new());
        loop {
            let read = self.read().await;
            let looked = match &read {
                Ok(content) if seen.as_ref() == Some(content) => None,
                Ok(content) => {
                    seen = Some(content.clone());
                    Some(self.serve(content, tls))
                }
                Err(_) => Some(read.map(drop)),
            };
            if let Some(Err(error)) = &looked
                && told != error.to_string()
            {
                told = error.to_string();
                metrics.certificate.refused(error.reason());
                let error = error as &dyn std::error::Error;
                warn!(error, "the certificate files cannot be used; the last good one is served");
            } else if let Some(Ok(())) = looked {
                told.clear();
            }
            metrics.certificate.served(tls.validity());
            time::sleep(LOOK_EVERY).await;
        }
    }

    fn serve(&self, (certificate, key): &(String, String), tls: &Tls) -> Result<(), Error> {
        let identity = Identity::from_pem(certificate, key)?;
        if tls.replace(identity, SystemTime::now())? {
            info!(certificate = %self.certificate.display(), "certificate replaced");
        }
        Ok(())
    }

    async fn read(&self) -> Result<(String, String), Error> {
        let read = async |path: &PathBuf| {
            fs::read_to_string(path).await.map_err(|source| Error::Unreadable { path: path.clone(), source })
        };
        Ok((read(&self.certificate).await?, read(&self.key).await?))
    }
}

/// Why files cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in them cannot be served.
    #[error(transparent)]
    Refused(#[from] berth_cert_manager::Error),
}

impl Error {
    fn reason(&self) -> Refused {
        match self {
            Self::Unreadable { .. } => Refused::Unreadable,
            Self::Refused(error) => reason(error),
        }
    }
}

/// How soon a change of the files is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

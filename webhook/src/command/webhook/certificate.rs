//! Where the certificate comes from that is served.

use std::sync::Arc;

use anyhow::anyhow;
use kube::Client;

use crate::{
    command::{Failure, cluster},
    server::{
        callers::Callers,
        tls::{
            Tls,
            files::Files,
            secret::{AWAITED, Stored},
        },
    },
    telemetry::Metrics,
};

/// Who brings it.
pub(super) enum Certificate {
    /// Whoever started the program; then no Secret is read.
    Files(Files),
    /// Whoever writes the Secret, which is usually `berth controller`.
    Secret(Client),
}

impl Certificate {
    /// The `files` where they are given, else the Secret in the cluster of `client`.
    pub(super) fn choose(files: Option<Files>, client: Option<Client>) -> Result<Self, Failure> {
        match (files, client) {
            (Some(files), _) => Ok(Self::Files(files)),
            (None, Some(client)) => Ok(Self::Secret(client)),
            (None, None) => Err(Failure::Usage(anyhow!(
                "give the certificate to serve with: --tls-cert FILE --tls-key FILE; without a cluster there is no \
                 Secret to read it from"
            ))),
        }
    }

    /// What is served at first: files must be good from the beginning, a Secret may come later.
    pub(super) async fn load(&self, callers: Arc<Callers>) -> anyhow::Result<Tls> {
        match self {
            Self::Files(files) => Ok(Tls::new(files.load().await?, callers)?),
            Self::Secret(_) => Ok(Tls::waiting(AWAITED, callers)?),
        }
    }

    /// Serves what comes after that, for ever.
    pub(super) async fn follow(self, tls: Arc<Tls>, metrics: Arc<Metrics>) {
        match self {
            Self::Files(files) => match files.follow(&tls, &metrics).await {},
            Self::Secret(client) => Stored::new(&cluster::own_namespace(), tls, metrics).follow(client).await,
        }
    }
}

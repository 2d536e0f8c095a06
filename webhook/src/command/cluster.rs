//! The cluster that a command talks to.

use std::{fs, iter, path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Failure;

/// Which cluster, in the words of kubectl.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Choice {
    /// The kubeconfig; without it, KUBECONFIG, ~/.kube/config or the Pod's `ServiceAccount`.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; without it, the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Choice {
    /// Connects to nothing: the API may be down.
    pub async fn config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match (&self.kubeconfig, &self.context) {
            (Some(file), _) => match Kubeconfig::read_from(file) {
                Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
                Err(error) => Err(error),
            },
            (None, Some(_)) => Config::from_kubeconfig(&options).await,
            (None, None) => {
                let inferred = Config::infer().await;
                return limited(inferred.map_err(|error| anyhow!("no kubeconfig can be used: {}", root(&error))));
            }
        };
        limited(config.map_err(|error| anyhow!("the kubeconfig cannot be used: {}", root(&error))))
    }

    /// A client, and the API server's address for messages.
    pub async fn client(&self) -> Result<(Client, String), Failure> {
        let config = self.config().await.map_err(Failure::Usage)?;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).context("the kubeconfig cannot be used").map_err(Failure::Usage)?;
        Ok((client, server))
    }
}

fn limited(config: anyhow::Result<Config>) -> anyhow::Result<Config> {
    let mut config = config?;
    config.connect_timeout = Some(CONNECT_LIMIT);
    Ok(config)
}

/// Whether this is a Pod.
pub fn is_here() -> bool {
    fs::exists(POD_NAMESPACE).unwrap_or(false)
}

/// A client by `KUBECONFIG`, `~/.kube/config` or the Pod's `ServiceAccount`. Connects to nothing: the API may be down.
pub async fn client() -> Result<Client, Failure> {
    let client = async {
        let mut config = Config::infer().await.context("no Kubernetes cluster is configured: set KUBECONFIG")?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        Client::try_from(config).context("the Kubernetes cluster's configuration cannot be used")
    };
    client.await.map_err(Failure::Usage)
}

/// The innermost cause: kube prints all of them at each level.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

/// The namespace of Berth itself: of the Pod it runs in, else the one that the manifests use.
pub fn own_namespace() -> String {
    let pods = fs::read_to_string(POD_NAMESPACE).ok().map(|text| text.trim().to_owned());
    pods.filter(|name| !name.is_empty()).unwrap_or_else(|| USUAL_NAMESPACE.to_owned())
}

/// An API server that comes back is found by the next attempt, not by one that has waited for long.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Where the manifests install Berth.
pub const USUAL_NAMESPACE: &str = "berth-system";

//! The cluster that a command talks to.

use std::{fs, time::Duration};

use anyhow::Context as _;
use kube::{Client, Config};

use super::Failure;

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

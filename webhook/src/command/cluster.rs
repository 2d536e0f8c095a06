//! The cluster that a command talks to.

use std::fs;

use anyhow::Context as _;
use kube::Client;

use super::Failure;

/// A client by `KUBECONFIG`, `~/.kube/config` or the Pod's `ServiceAccount`. Connects to nothing: the API may be down.
pub async fn client() -> Result<Client, Failure> {
    let client = Client::try_default().await;
    client.context("no Kubernetes cluster is configured: set KUBECONFIG").map_err(Failure::Usage)
}

/// The namespace of Berth itself: of the Pod it runs in, else the one that the manifests use.
pub fn own_namespace() -> String {
    let pods = fs::read_to_string(POD_NAMESPACE).ok().map(|text| text.trim().to_owned());
    pods.filter(|name| !name.is_empty()).unwrap_or_else(|| USUAL_NAMESPACE.to_owned())
}

const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const USUAL_NAMESPACE: &str = "berth-system";

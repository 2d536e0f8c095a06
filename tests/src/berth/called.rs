//! Whether the API server calls a new webhook: each of its watches has to tell it.

use std::time::Duration;

use anyhow::ensure;
use http::{
    Request,
    header::{CONTENT_TYPE, WARNING},
};
use kube::{Client, api::PostParams, client::Body};
use serde_json::{Value, json};

use super::opted_in;
use crate::{cluster::Cluster, wait::until};

/// Asks until answers are Berth's: about Pods, and about what makes them.
pub(super) async fn called(cluster: &Cluster, only: Option<&str>) -> anyhow::Result<()> {
    let namespace = ["berth-probe", only.unwrap_or_default()].join("-");
    let namespace = namespace.trim_end_matches('-');
    cluster.namespace(namespace, &opted_in(only)).await?;
    // An image that does not parse is noted without asking anybody.
    let spec = json!({ "containers": [{ "name": "any", "image": "Not an image" }] });
    let pod = serde_json::from_value(json!({ "metadata": { "name": "any" }, "spec": spec }))?;
    let (pods, dry) = (cluster.pods(namespace).await?, PostParams { dry_run: true, ..PostParams::default() });
    until("the API server calls the webhook for Pods", LIMIT, async || {
        let annotations = pods.create(&dry, &pod).await?.metadata.annotations.unwrap_or_default();
        ensure!(annotations.contains_key("berth.dev/notes"), "Pods come back with {annotations:?}");
        Ok(())
    })
    .await?;
    let (client, deployment) = (cluster.client().await?, deployment(&spec).to_string());
    let url = format!("/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All");
    until("the API server calls the webhook for workloads", LIMIT, async || {
        let request = Request::post(&url).header(CONTENT_TYPE, "application/json").body(deployment.clone())?;
        let warnings = warnings(&client, request).await?;
        ensure!(warnings.iter().any(|warning| warning.starts_with("berth: ")), "Deployments get {warnings:?}");
        Ok(())
    })
    .await
}

fn deployment(spec: &Value) -> Value {
    let labels = json!({ "app": "any" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "any" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    })
}

/// Sends one request, which must succeed: the warnings that come with the answer.
pub async fn warnings(client: &Client, request: Request<String>) -> anyhow::Result<Vec<String>> {
    let answer = client.send(request.map(|body| Body::from(body.into_bytes()))).await?;
    let (head, body) = answer.into_parts();
    let said = body.collect_bytes().await?;
    ensure!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&said));
    let text =
        |value: &http::HeaderValue| Some(value.to_str().ok()?.split_once('"')?.1.trim_end_matches('"').to_owned());
    Ok(head.headers.get_all(WARNING).iter().filter_map(text).collect())
}

const LIMIT: Duration = Duration::from_secs(30);

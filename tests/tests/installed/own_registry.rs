//! The registry that Berth asks before it lets a Pod in runs in Pods itself, in a namespace that lets Berth in.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use berth_tests::{berth::opted_in, image::Image, wait::until};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    bed::{Bed, WEBHOOK},
    install::{Settings, kubectl},
    table::Row,
};

/// Its Pods are lost while it alone says which images are let in. They come back where they are excepted, as
/// docs/configuration.md says; a Pod that is not is refused in words that say so.
pub(crate) async fn comes_back(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let cluster = bed.cluster();
    let image = Image::registry().await?;
    for node in bed.nodes.nodes() {
        node.import(&image, &["registry:v1"]).await?;
    }
    cluster.namespace(NAMESPACE, &[]).await?;
    for object in [deployment(None), service()] {
        cluster.apply(&object.to_string()).await?;
    }
    let pods = cluster.pods(NAMESPACE).await?;
    let first = runs(&pods, &[]).await?;
    let mut waited = Duration::ZERO;
    let row = bed.load.during("the registry's own Pods deleted where only it lets Pods in", async {
        bed.change(only_mirror).await?;
        bed.rolled_out(WEBHOOK).await?;
        cluster.namespace(NAMESPACE, &opted_in(None)).await?;
        refused(bed, &pods).await?;
        let lost = Instant::now();
        cluster.apply(&deployment(Some(EXCEPTION)).to_string()).await?;
        let second = runs(&pods, &[&first]).await?;
        waited = lost.elapsed();
        kill(&pods, &second).await?;
        runs(&pods, &[&first, &second]).await.map(drop)
    });
    Ok(vec![row.await?.remark(format!("refused; excepted, it is back after {:.1} s", waited.as_secs_f64()))])
}

/// Waits until a Pod runs that is none of `before`; its name.
async fn runs(pods: &Api<Pod>, before: &[&str]) -> anyhow::Result<String> {
    until("the registry runs", LIMIT, async || {
        for pod in pods.list(&ListParams::default()).await?.items {
            let ready =
                serde_json::to_value(&pod.status)?.pointer("/containerStatuses/0/ready") == Some(&Value::Bool(true));
            if ready && !before.contains(&pod.name_any().as_str()) {
                return Ok(pod.name_any());
            }
        }
        bail!("it does not")
    })
    .await
}

/// Without grace: else the old one answers while the new one is let in.
async fn kill(pods: &Api<Pod>, name: &str) -> anyhow::Result<()> {
    match pods.delete(name, &DeleteParams::default().grace_period(0)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()), // gone by itself
        deleted => Ok(deleted.map(drop)?),
    }
}

/// Kills it until the Pod that should replace it is refused, in words that say what to do. Replicas that are being
/// replaced know of no rule, API servers use their open connections for a while, and a registry that is being killed may
/// still answer that it has no such image.
async fn refused(bed: &Bed, pods: &Api<Pod>) -> anyhow::Result<()> {
    until("its Pod is refused", LIMIT, async || {
        for pod in pods.list(&ListParams::default()).await?.items {
            kill(pods, &pod.name_any()).await?;
        }
        sleep(KILL_EVERY).await;
        let failures = ["get", "events", "-n", NAMESPACE, "--field-selector=reason=FailedCreate", MESSAGES];
        let said = kubectl(bed.cluster(), &failures).await?;
        let advice = format!("berth.dev/skip: {EXCEPTION}");
        ensure!(said.contains("denied the request") && said.contains(&advice), "{said}");
        Ok(())
    })
    .await
    .context("it is let in although its registry cannot be asked, or refused without a word about what to do")
}

/// As the README has it for a registry inside the cluster.
fn only_mirror(settings: &mut Settings) {
    let registry = json!({ "host": MIRROR, "endpoint": format!("http://{ADDRESS}:5000") });
    settings.configuration["registries"].as_array_mut().unwrap().push(registry);
    let rule = json!({ "source": "docker.io", "mirror": MIRROR, "resolve": "mirror", "fallback": "deny" });
    settings.configuration["mirror"] = json!({ "rules": [rule] });
}

fn deployment(skip: Option<&str>) -> Value {
    let annotations: serde_json::Map<_, _> =
        skip.into_iter().map(|skip| ("berth.dev/skip".to_owned(), skip.into())).collect();
    let container = json!({ "name": "registry", "image": "registry:v1", "imagePullPolicy": "IfNotPresent" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "registry", "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": "registry" } },
            "strategy": { "type": "Recreate" },
            "template": {
                "metadata": { "labels": { "app": "registry" }, "annotations": annotations },
                "spec": { "containers": [container], "terminationGracePeriodSeconds": 1 },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "registry", "namespace": NAMESPACE },
        "spec": {
            "clusterIP": ADDRESS,
            "type": "NodePort",
            "selector": { "app": "registry" },
            "ports": [{ "port": 5000, "nodePort": 30500 }],
        },
    })
}

const NAMESPACE: &str = "registry";
/// Of its Service.
const ADDRESS: &str = "10.96.30.30";
/// As nodes and references name it.
const MIRROR: &str = "localhost:30500";
/// What the annotation `berth.dev/skip` on its Pods says.
const EXCEPTION: &str = "pin,mirror";
const MESSAGES: &str = "--output=jsonpath={.items[*].message}";
const KILL_EVERY: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(120);

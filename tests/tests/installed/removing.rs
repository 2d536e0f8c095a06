//! Berth is removed and installed again while Pods are created: nothing is blocked, and no Pod stays behind a gate.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use berth_tests::wait::until;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, api::PostParams};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    bed::{Bed, SYSTEM, full},
    install::{Installer, kubectl, test_release},
    load::LATEST,
    running, stopping,
    table::Row,
};

/// Removes what kustomize installed, installs it by Helm, and removes that.
pub(crate) async fn removed(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let by_kustomize = uninstall(bed, "uninstall by `kubectl delete -k`").await?;
    gone(bed).await?;
    let first = bed.install_again(Installer::Helm).await?;
    let again = running::quiet(bed, "installed by Helm", first).await?;
    let tested = tested(bed).await?;
    let upgrade = stopping::upgrade(bed).await?;
    let by_helm = uninstall(bed, "`helm uninstall`").await?;
    Ok([vec![by_kustomize, again, tested], upgrade, vec![by_helm]].concat())
}

/// The chart's own test finds that Pods are changed.
async fn tested(bed: &Bed) -> anyhow::Result<Row> {
    let row = bed.load.during("`helm test`", async {
        let said = test_release(bed.cluster()).await?;
        ensure!(said.contains("Succeeded"), "it said: {said}");
        Ok(())
    });
    row.await
}

/// A Pod that waits for an image is there, and Berth goes.
async fn uninstall(bed: &Bed, name: &str) -> anyhow::Result<Row> {
    let pods = bed.cluster().pods(bed.wanted.namespace).await?;
    let container = json!({ "name": "app", "image": "nowhere:dev", "imagePullPolicy": "Never" });
    let pod = json!({ "metadata": { "generateName": "waits-" }, "spec": { "containers": [container] } });
    let pod: Pod = pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let name_of_pod = pod.metadata.name.context("a Pod has a name")?;
    ensure!(gates(pod.spec) == 1, "{name_of_pod} does not wait");
    let row = bed.load.during(name, async {
        bed.uninstall().await?;
        let gates = gates(pods.get(&name_of_pod).await?.spec);
        ensure!(gates == 0, "{name_of_pod} still waits");
        Ok(())
    });
    Ok(row.await?.removed())
}

fn gates(spec: Option<k8s_openapi::api::core::v1::PodSpec>) -> usize {
    spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default().len()
}

/// Waits until nothing is left of the namespace: its replicas drain, unless there is no time for it.
async fn gone(bed: &Bed) -> anyhow::Result<()> {
    if !full() {
        sleep(LATEST).await;
        let all = ["delete", "pods", "--all", "--namespace", SYSTEM, "--grace-period=0", "--force"];
        kubectl(bed.cluster(), &all).await?;
    }
    let namespaces: Api<Namespace> = Api::all(bed.cluster().client().await?);
    until("the namespace is gone", GONE_LIMIT, async || {
        ensure!(namespaces.get_opt(SYSTEM).await?.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// The longest drain, and a little.
const GONE_LIMIT: Duration = Duration::from_secs(150);

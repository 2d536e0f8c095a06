//! What an installation is.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use berth_tests::wait::until;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    bed::{BASE, Bed, CONTROLLER, WEBHOOK, place},
    table::Row,
};

/// By kustomize, as the bed is made.
pub(crate) async fn installed(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    Ok(vec![quiet(bed, "installed by `kubectl apply -k`", bed.first).await?])
}

/// Three replicas, as spread as two nodes let them be, and back to two.
pub(crate) async fn production(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let row = bed.load.during("the production overlay, and back", async {
        bed.change(|settings| settings.manifests = "overlays/production").await?;
        bed.rolled_out(WEBHOOK).await?;
        bed.complete(WEBHOOK).await?;
        let pods = bed.pods(WEBHOOK).await?;
        let nodes: BTreeSet<_> = pods.iter().map(|pod| Ok(place(pod)?.0)).collect::<anyhow::Result<_>>()?;
        ensure!(pods.len() == 3 && nodes.len() == 2, "{} replicas are on {nodes:?}", pods.len());
        bed.change(|settings| settings.manifests = BASE).await?;
        bed.rolled_out(WEBHOOK).await
    });
    Ok(vec![row.await?])
}

/// Replicas on both nodes, reached through the Service; a Pod that Berth changed runs; and nothing else happens. `first`
/// is the time from the installation to the first Pod that was changed.
pub(crate) async fn quiet(bed: &Bed, name: &str, first: Duration) -> anyhow::Result<Row> {
    for deployment in [WEBHOOK, CONTROLLER] {
        bed.complete(deployment).await?;
        let pods = bed.pods(deployment).await?;
        let nodes: BTreeSet<_> = pods.iter().map(|pod| Ok(place(pod)?.0)).collect::<anyhow::Result<_>>()?;
        ensure!(nodes.len() == bed.nodes.nodes().len(), "{deployment} is on {nodes:?} only");
    }
    let row = bed.load.during(name, async {
        runs(bed).await?;
        sleep(AFTERWARDS).await;
        Ok(())
    });
    let row = row.await?;
    Ok(row.remark(format!("first Pod changed after {:.1} s", first.as_secs_f64())))
}

/// A Pod in the namespace that opted in is changed, pulled by its digest, and runs.
async fn runs(bed: &Bed) -> anyhow::Result<()> {
    let pods = bed.cluster().pods(bed.wanted.namespace).await?;
    let pod = json!({
        "metadata": { "name": "app" },
        "spec": {
            "containers": [{ "name": "app", "image": bed.wanted.image }],
            "terminationGracePeriodSeconds": 1,
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let image = until("the Pod runs", RUN_LIMIT, async || {
        let pod = pods.get("app").await?;
        let state = serde_json::to_value(&pod.status)?;
        ensure!(state.pointer("/containerStatuses/0/state/running").is_some(), "{state}");
        pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image).context("it has no image")
    })
    .await?;
    ensure!(image == bed.wanted.pinned, "its image is {image}");
    pods.delete("app", &DeleteParams::default()).await.map(drop)?;
    Ok(())
}

/// In which enough is asked to show anything.
const AFTERWARDS: Duration = Duration::from_secs(3);
const RUN_LIMIT: Duration = Duration::from_secs(60);

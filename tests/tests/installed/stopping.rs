//! Replicas that end: one after the other, with their node, and without a word.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use berth_tests::wait::until;
use futures::future::join;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    bed::{Bed, SYSTEM, TAGS, WEBHOOK, full, place},
    install::kubectl,
    load::LATEST,
    table::Row,
};

/// All replicas, one after the other.
pub(crate) async fn rolling_restart(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let times = if full() { 5 } else { 1 };
    let row = bed.load.during(format!("rolling restart ×{times}"), async {
        for _ in 0..times {
            kubectl(bed.cluster(), &["rollout", "restart", "deployment/berth-webhook", "-n", SYSTEM]).await?;
            bed.rolled_out(WEBHOOK).await?;
            ended(bed).await?;
        }
        Ok(())
    });
    Ok(vec![row.await?])
}

/// Another version is installed.
pub(crate) async fn upgrade(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let mut new = "";
    let row = bed.load.during("upgrade", async {
        bed.change(|settings| {
            new = TAGS[usize::from(settings.tag == TAGS[0])];
            settings.tag = new;
        })
        .await?;
        bed.rolled_out(WEBHOOK).await?;
        for pod in bed.pods(WEBHOOK).await? {
            let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone()).unwrap_or_default();
            ensure!(image.ends_with(new), "{} runs {image}", pod.name_any());
        }
        ended(bed).await
    });
    Ok(vec![row.await?])
}

/// A node is emptied, and comes back.
pub(crate) async fn drain(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let pods = bed.pods(WEBHOOK).await?;
    let (node, _) = place(pods.first().context("there is no replica")?)?;
    let row = bed.load.during("node drain", async {
        let emptied = empty(bed, &node).await;
        // Whatever came of it: the next experiment wants all nodes.
        kubectl(bed.cluster(), &["uncordon", &node]).await?;
        emptied
    });
    Ok(vec![row.await?])
}

/// Until the node has no replica but those that were told to stop, and as many are ready elsewhere.
async fn empty(bed: &Bed, node: &str) -> anyhow::Result<()> {
    // Evicted is evicted, also where nobody waits until the last connection has ended.
    let wait = if full() { "--timeout=150s" } else { "--timeout=5s" };
    until("the node is drained", DRAIN_LIMIT, async || {
        // One is not evicted while another is not ready: then it is asked for again.
        let drain = ["drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", wait];
        let drained = kubectl(bed.cluster(), &drain).await;
        for pod in bed.pods(WEBHOOK).await? {
            ensure!(place(&pod)?.0 != node, "{} is still there: {drained:?}", pod.name_any());
        }
        Ok(())
    })
    .await?;
    bed.complete(WEBHOOK).await?;
    ended(bed).await
}

/// One replica is killed.
pub(crate) async fn no_grace(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for _ in 0..if full() { 5 } else { 1 } {
        let pod = bed.pods(WEBHOOK).await?.into_iter().next().context("there is no replica")?;
        let (_, address) = place(&pod)?;
        let (killed, under_way) = (Instant::now(), bed.load.under_way(address));
        let mut dead = killed;
        let row = bed.load.during("`kubectl delete pod --grace-period=0 --force`", async {
            let kill = ["delete", "pod", &pod.name_any(), "-n", SYSTEM, "--grace-period=0", "--force"];
            let (told, ended) = join(kubectl(bed.cluster(), &kill), silent(address)).await;
            told?;
            dead = ended;
            bed.complete(WEBHOOK).await?;
            sleep(AFTERWARDS).await;
            Ok(())
        });
        let row = row.await?;
        // Beside what was under way: connections to it, open ones and new ones of who has not heard that it is gone.
        let connections = bed.load.failures(killed, killed + LATEST + AFTERWARDS, Some(address));
        // And while it still runs, the API server may call it once more.
        let last = bed.load.let_in(killed, dead);
        rows.push(row.allowing(under_way + connections + last));
    }
    Ok(rows)
}

/// When the process of a replica has ended, which ends the connections to it, and nobody takes another one.
async fn silent(replica: IpAddr) -> Instant {
    let mut lived = Instant::now();
    while let Ok(Ok(mut connection)) = timeout(MOMENT, TcpStream::connect((replica, PORT))).await {
        // Nothing is asked, so that only an end can come.
        let _end = timeout(MOMENT, connection.read(&mut [0])).await;
        lived = Instant::now();
    }
    lived
}

/// Waits until the replicas that were told to stop have ended; or only for the time in which endpoints are removed late.
async fn ended(bed: &Bed) -> anyhow::Result<()> {
    if !full() {
        sleep(LATE).await;
        return Ok(());
    }
    let pods: Api<Pod> = bed.cluster().pods(SYSTEM).await?;
    let ours = ListParams::default().labels("app.kubernetes.io/name=berth-webhook");
    until("all that were told to stop have ended", DRAIN_LIMIT, async || {
        let pods = pods.list(&ours).await?.items;
        let left = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()).count();
        ensure!(left == 0, "{left} have not");
        Ok(())
    })
    .await
}

/// Longer than the shortest drain.
const LATE: Duration = Duration::from_secs(12);
/// Where replicas take reviews.
const PORT: u16 = 10250;
const MOMENT: Duration = Duration::from_secs(1);
/// What a killed replica leaves is noticed.
const AFTERWARDS: Duration = Duration::from_secs(5);
const DRAIN_LIMIT: Duration = Duration::from_secs(130);

//! Situation 6: a registry inside the cluster, behind a node port; and behind a name that nodes do not resolve.

use anyhow::ensure;
use berth_tests::{
    image::Image,
    outcome::{End, Outcome},
};

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let stranger = Image::of("a stranger's").await?;
    for hub in [&stage.hub, &stage.limited_hub] {
        hub.push_image("library/easy-kanban", "latest", &stranger).await?;
    }
    stage.a().import(&Image::of("an old import").await?, &["easy-kanban:latest"]).await?;
    let (image, policy) = ("easy-kanban:latest", Some("IfNotPresent"));
    let ours = Image::of("ours").await?;
    let push = async { stage.internal.push_image("easy-kanban", "latest", &ours).await.map(drop) };
    let soon = stage.deploy_soon(Berth::Production, "kanban", [image; 2], policy, push);
    let ([soon_off, soon_on], unresolved) = tokio::try_join!(soon, unresolvable(stage))?;
    without(&soon_off)?;
    soon_on.all_run("ours")?;

    stage.listed(stage.a(), "docker.io/library/easy-kanban:latest", None).await?;
    let off = stage.deploy(Berth::Off, "kanban-off", image, policy);
    let on = stage.deploy(Berth::Production, "kanban-on", image, policy);
    let (off, on) = tokio::try_join!(off, on)?;
    without(&off)?;
    on.all_run("ours")?;
    ensure!(on.pods.iter().all(|pod| pod.image.starts_with("localhost:30500/easy-kanban:latest@sha256:")), "{on:?}");
    let row = Row::new("6 registry inside the cluster, by a node port");
    Ok(vec![row.with([off, on]).soon([soon_off, soon_on]), unresolved])
}

/// One node runs its old import, the other asks Docker Hub.
fn without(off: &Outcome) -> anyhow::Result<()> {
    off.one_runs("an old import")?;
    off.one_runs("a stranger's")
}

/// The mirror's name is a Service's, which Berth resolves and nodes do not.
async fn unresolvable(stage: &Stage) -> anyhow::Result<Row> {
    stage.internal.push_image("hard-kanban", "latest", &Image::of("ours").await?).await?;
    let on = stage.deploy(Berth::Production, "kanban-name-on", "hard-kanban:latest", Some("IfNotPresent")).await?;
    for pod in &on.pods {
        let End::Fails(_, message) = &pod.end else { anyhow::bail!("a node resolves it: {on:?}") };
        ensure!(message.contains("no such host"), "{message}");
        println!("6 with a name that nodes do not resolve: the kubelet says: {message}");
        println!("6 with a name that nodes do not resolve: Berth notes: {}", pod.notes);
    }
    Ok(Row { on: Some(on), ..Row::new("6 by a name that nodes do not resolve") })
}

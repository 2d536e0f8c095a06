use crate::demo::{
    pod::{all_have, all_run, nodes, one_runs},
    stage::Stage,
};

pub(super) async fn prepare(stage: &Stage<'_>) -> anyhow::Result<()> {
    stage.push("library/easy-kanban", "latest", STRANGERS).await?;
    stage.import("node-a", "easy-kanban:latest", OLD).await
}

/// A registry behind a Service: nodes reach it by its `NodePort`, Berth by its name.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let ours = stage.push("easy-kanban", "latest", OURS).await?;
    screen.text(
        "easy-kanban:latest should come from the registry inside the cluster. Nodes do not resolve `svc.cluster.local`; \
         what they reach is its NodePort, localhost:30500. node-a still lists an old import of that name, and at \
         Docker Hub the name belongs to a stranger.",
    );
    let pods = stage.deploy("easy-kanban:latest", Some("IfNotPresent")).await?;
    screen.check(
        "the Pods say easy-kanban:latest: the old import on node-a, the stranger's image on node-b",
        all_have(&pods.without, "easy-kanban:latest") && nodes(&pods.without).len() == 2,
    );
    stage.seen("which is what they run", one_runs(&pods.without, OLD) && one_runs(&pods.without, STRANGERS));
    stage.changes(&pods)?;
    screen.check(
        "every Pod has our image by digest, from where every node can pull it",
        all_have(&pods.with, &format!("localhost:30500/easy-kanban:latest@{ours}")),
    );
    stage.seen("and runs it, whichever its node", all_run(&pods.with, OURS) && nodes(&pods.with).len() == 2);
    Ok(())
}

const OLD: &str = "an old import";
const STRANGERS: &str = "a stranger's";
const OURS: &str = "our own";

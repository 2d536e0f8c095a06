use crate::{
    cluster::Node,
    demo::{
        pod::{all_have, places, told},
        stage::Stage,
    },
};

/// A registry behind a Service: nodes reach it by its `NodePort`, Berth by its name.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let ours = stage.registry.push("easy-kanban", "latest", "our own").await?;
    stage.registry.push("library/easy-kanban", "latest", "a stranger's, at Docker Hub").await?;
    screen.text(
        "easy-kanban:latest should come from the registry inside the cluster. Nodes do not resolve `svc.cluster.local`; \
         what they reach is its NodePort, localhost:30500. node-a still lists an old import of that name, and at \
         Docker Hub the name belongs to a stranger.",
    );
    stage.nodes(&[Node::new("node-a").image(&["docker.io/library/easy-kanban:latest"]), Node::new("node-b")]).await?;

    let pods = stage.deploy("easy-kanban:latest", Some("IfNotPresent"), 2).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen.check(
        "the Pods say easy-kanban:latest: the old import on node-a, the stranger's image on node-b",
        all_have(&pods.without, "easy-kanban:latest") && places(&pods.without).len() == 2,
    );
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check(
        "every Pod has our image by digest, from where every node can pull it",
        all_have(&pods.with, &format!("localhost:30500/easy-kanban:latest@{ours}")),
    );
    Ok(())
}

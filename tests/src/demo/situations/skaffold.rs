use crate::{
    cluster::Node,
    demo::{
        pod::{all_have, told},
        stage::Stage,
    },
};

/// A digest in the manifest, and a newer push. Re-pinning is not there yet, and this says so.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let old = stage.registry.push("skaffolded", "latest", "the build that Skaffold deployed").await?;
    let new = stage.registry.push("skaffolded", "latest", "a newer build").await?;
    screen.text(
        "Skaffold wrote tag and digest into the Deployment, and a newer build was pushed since. Whoever writes a digest \
         means that build: Berth leaves it as it is, byte for byte, without asking anybody. To follow the tag instead \
         is `pin.repin`, in a later version.",
    );
    stage.nodes(&[Node::new("kind-worker"), Node::new("kind-worker2")]).await?;

    let written = format!("localhost:5001/skaffolded:latest@{old}");
    let pods = stage.deploy(&written, None, 2).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen
        .check("the newer push has another digest, and never arrives", old != new && all_have(&pods.without, &written));
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check("every Pod has the reference as Skaffold wrote it (today)", all_have(&pods.with, &written));
    Ok(())
}

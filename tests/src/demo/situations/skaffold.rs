use crate::{
    cluster::Node,
    demo::{
        pod::{all_have, told},
        stage::Stage,
    },
};

/// A digest in the manifest, and a newer push: the dev profile follows the tag at the local registry.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let old = stage.registry.push("skaffolded", "latest", "the build that Skaffold deployed").await?;
    let new = stage.registry.push("skaffolded", "latest", "a newer build").await?;
    screen.text(
        "Skaffold wrote tag and digest into the Deployment, and a newer build was pushed since. `pin.repin` says what \
         becomes of that: `replace`, for the images that `pin.repinImages` names, takes the build that the tag means now.",
    );
    stage.nodes(&[Node::new("kind-worker"), Node::new("kind-worker2")]).await?;

    let written = format!("localhost:5001/skaffolded:latest@{old}");
    let pods = stage.deploy(&written, None, 2).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen
        .check("the newer push has another digest, and never arrives", old != new && all_have(&pods.without, &written));
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    let newer = format!("localhost:5001/skaffolded:latest@{new}");
    screen.check("every Pod has the build that was pushed last", all_have(&pods.with, &newer));
    Ok(())
}

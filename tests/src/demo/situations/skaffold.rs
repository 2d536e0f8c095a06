use crate::demo::{
    pod::{all_have, all_run},
    stage::Stage,
};

/// A digest in the manifest, and a newer push: the dev profile follows the tag at the local registry.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let old = stage.push("skaffolded", "latest", OLD).await?;
    let new = stage.push("skaffolded", "latest", NEW).await?;
    screen.text(
        "Skaffold wrote tag and digest into the Deployment, and a newer build was pushed since. `pin.repin` says what \
         becomes of that: `replace`, for the images that `pin.repinImages` names, takes the build that the tag means now.",
    );
    let written = format!("localhost:5001/skaffolded:latest@{old}");
    let pods = stage.deploy(&written, None).await?;
    screen
        .check("the newer push has another digest, and never arrives", old != new && all_have(&pods.without, &written));
    stage.seen("the old build runs", all_run(&pods.without, OLD));
    stage.changes(&pods)?;
    let newer = format!("localhost:5001/skaffolded:latest@{new}");
    screen.check("every Pod has the build that was pushed last", all_have(&pods.with, &newer));
    stage.seen("and runs it", all_run(&pods.with, NEW));
    Ok(())
}

const OLD: &str = "what Skaffold deployed";
const NEW: &str = "a newer build";

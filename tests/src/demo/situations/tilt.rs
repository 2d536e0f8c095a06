use super::PULL_FAILURES;
use crate::demo::{
    pod::{End, all_have, all_on, all_run, fails, nodes},
    stage::Stage,
};

pub(super) async fn prepare(stage: &Stage<'_>) -> anyhow::Result<()> {
    stage.import("node-a", IMAGE, BUILD).await
}

/// The image came to some nodes by `kind load` or `docker exec`; no registry has it.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    screen.text(&format!(
        "Tilt built {IMAGE}, and node-a got it. The other node would ask Docker Hub, which has no such image.",
    ));
    stage.whereabouts(IMAGE).await?;

    let pods = stage.deploy(IMAGE, POLICY).await?;
    screen.check("a Pod is on node-b, which does not have the image", !all_on(&pods.without, &["node-a"]));
    stage.seen("and cannot start there", fails(&pods.without, PULL_FAILURES));
    stage.changes(&pods)?;
    screen.check("every Pod is on the node that has the image", all_on(&pods.with, &["node-a"]));
    stage.seen("and runs", all_run(&pods.with, BUILD));
    screen.check("the reference is untouched: Tilt compares it", all_have(&pods.with, IMAGE));

    stage.clear().await?;
    screen.text("Then it comes to all nodes.");
    stage.load(IMAGE, BUILD, None).await?;
    let pods = stage.deploy(IMAGE, POLICY).await?;
    stage.changes(&pods)?;
    let waits = pods.with.iter().any(|pod| pod.end == End::Waits);
    screen.check("where all nodes have it, all are used and nothing waits", nodes(&pods.with).len() == 2 && !waits);
    stage.seen("and every Pod runs", all_run(&pods.with, BUILD));
    Ok(())
}

const IMAGE: &str = "petstore:tilt-a03b9c51";
const BUILD: &str = "the pet store";
const POLICY: Option<&str> = Some("IfNotPresent");

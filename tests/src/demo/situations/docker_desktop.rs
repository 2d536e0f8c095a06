use super::PULL_FAILURES;
use crate::demo::{
    pod::{End, all_on, all_run, fails, nodes},
    stage::Stage,
};

/// A local build under `latest`: the API server fills in `Always`, and the list of a node that gets it is late.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    screen.text(
        "webapp:latest was built on a laptop, and no node has it yet. Because of `latest` the API server fills in \
         `Always`, so that every kubelet asks Docker Hub for a stranger's webapp.",
    );
    let pods = stage.deploy("webapp:latest", None).await?;
    screen
        .check("Pods are on nodes without the image, and all of them ask Docker Hub", !nodes(&pods.without).is_empty());
    stage.seen("which has no such image", fails(&pods.without, PULL_FAILURES));
    stage.changes(&pods)?;
    screen.check("no Pod is scheduled before a node has the image", pods.with.iter().all(|pod| pod.end == End::Waits));

    screen.text("A node's list is up to 40 s late. `berth load` tells Berth at once.");
    stage.load("webapp:latest", MONDAY, Some("node-a")).await?;
    let opened = stage.opened().await?;
    stage.difference("the controller", &pods.with, &opened)?;
    screen.check("every Pod is on node-a, which has the image", all_on(&opened, &["node-a"]));
    stage.seen("and runs", all_run(&opened, MONDAY));

    stage.clear().await?;
    screen.text(
        "The next build has the same name, and comes to the other node. The nodes' lists cannot say which is newer, the \
         load can: with `place.newest`, Pods go there.",
    );
    stage.load("webapp:latest", TUESDAY, Some("node-b")).await?;
    stage.whereabouts("webapp:latest").await?;
    let pods = stage.deploy("webapp:latest", None).await?;
    stage.changes(&pods)?;
    screen.check("every Pod is on node-b, which has the newest build", all_on(&pods.with, &["node-b"]));
    stage.seen("and runs it", all_run(&pods.with, TUESDAY));
    Ok(())
}

const MONDAY: &str = "Monday's build";
const TUESDAY: &str = "Tuesday's build";

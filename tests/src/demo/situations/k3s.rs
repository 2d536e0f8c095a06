use crate::demo::{
    pod::{all_on, all_run, fails},
    stage::Stage,
};

pub(super) async fn prepare(stage: &Stage<'_>) -> anyhow::Result<()> {
    stage.import("node-a", "k3s-dashboard:latest", "the dashboard").await
}

/// `imagePullPolicy: Never` on the node that does not have the image.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    screen.text(
        "Somebody ran `ctr images import` on node-a. The Deployment says Never, and the scheduler does not look.",
    );
    stage.whereabouts("k3s-dashboard:latest").await?;

    let pods = stage.deploy("k3s-dashboard:latest", Some("Never")).await?;
    screen.check("a Pod is on node-b, where the kubelet says ErrImageNeverPull", !all_on(&pods.without, &["node-a"]));
    stage.seen("which it does", fails(&pods.without, &["ErrImageNeverPull"]));
    stage.changes(&pods)?;
    screen.check("every Pod is on node-a, which has the image", all_on(&pods.with, &["node-a"]));
    stage.seen("and runs", all_run(&pods.with, "the dashboard"));
    Ok(())
}

use crate::{
    cluster::Node,
    demo::{
        pod::{all_on, told},
        stage::Stage,
    },
};

/// `imagePullPolicy: Never` on the node that does not have the image.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    screen
        .text("Somebody ran `ctr images import` on k3s-a. The Deployment says Never, and the scheduler does not look.");
    stage.nodes(&[Node::new("k3s-a").image(&["docker.io/library/k3s-dashboard:latest"]), Node::new("k3s-b")]).await?;

    let pods = stage.deploy("k3s-dashboard:latest", Some("Never"), 2).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen.check("a Pod is on k3s-b, where the kubelet says ErrImageNeverPull", !all_on(&pods.without, &["k3s-a"]));
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check("every Pod is on k3s-a, which has the image", all_on(&pods.with, &["k3s-a"]));
    Ok(())
}

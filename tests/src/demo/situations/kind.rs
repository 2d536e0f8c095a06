use crate::demo::{
    pod::{all_have, all_run},
    stage::Stage,
};

pub(super) async fn prepare(stage: &Stage<'_>) -> anyhow::Result<()> {
    let digest = stage.push("app", "v2", OLD).await?;
    stage.pull(IMAGE, &digest).await
}

/// The same tag pushed twice: `IfNotPresent` keeps what the node has.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let new = stage.push("app", "v2", NEW).await?;
    screen.text(
        "localhost:5001/app:v2 was pushed, pulled by both nodes, and pushed again under the same tag. Inside the \
         cluster the registry has another address: `registries` says which. On kind Berth learns it from the cluster's \
         own ConfigMap.",
    );
    let pods = stage.deploy(IMAGE, Some("IfNotPresent")).await?;
    screen.check("the Pods keep the tag, for which the nodes have the first build", all_have(&pods.without, IMAGE));
    stage.seen("and that is what they run", all_run(&pods.without, OLD));
    stage.changes(&pods)?;
    screen.check(
        "every Pod has the digest of the second push, so the kubelets pull it",
        all_have(&pods.with, &format!("{IMAGE}@{new}")),
    );
    stage.seen("and run it", all_run(&pods.with, NEW));
    Ok(())
}

const IMAGE: &str = "localhost:5001/app:v2";
const OLD: &str = "the first build";
const NEW: &str = "the second build";

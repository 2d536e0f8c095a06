use crate::{
    cluster::Node,
    demo::{
        pod::{all_have, told},
        stage::Stage,
    },
};

/// The same tag pushed twice: `IfNotPresent` keeps what the node has.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let old = stage.registry.push("app", "v2", "the first build").await?;
    let new = stage.registry.push_index("app", "v2", "the second build").await?;
    screen.text(
        "localhost:5001/app:v2 was pushed, pulled by both nodes, and pushed again under the same tag. Inside the \
         cluster the registry has another address. On kind Berth learns it from the cluster's own ConfigMap; here it is told \
         in `registries`, because everything is on loopback, which Berth takes from no ConfigMap.",
    );
    let pulled = [format!("localhost:5001/app@{old}"), "localhost:5001/app:v2".to_owned()];
    let pulled = pulled.each_ref().map(String::as_str);
    stage.nodes(&[Node::new("kind-worker").image(&pulled), Node::new("kind-worker2").image(&pulled)]).await?;

    let pods = stage.deploy("localhost:5001/app:v2", Some("IfNotPresent"), 2).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen.check(
        "the Pods keep the tag, so the kubelets run the first build",
        all_have(&pods.without, "localhost:5001/app:v2"),
    );
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check(
        "every Pod has the digest of the second push, so the kubelets pull it",
        all_have(&pods.with, &format!("localhost:5001/app:v2@{new}")),
    );
    Ok(())
}

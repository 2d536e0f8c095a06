use crate::{
    cluster::Node,
    demo::{
        pod::{all_have, all_on, gated, places, told},
        stage::{SANDBOX, Stage},
    },
};

/// `kind load` put the image on some nodes; no registry has it.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    screen.text(
        "Tilt built petstore:tilt-a03b9c51 and `kind load` brought it to two nodes of three. The third would ask Docker \
         Hub, which says `pull access denied`.",
    );
    let loaded = |name: &str| Node::new(name).image(&["docker.io/library/petstore:tilt-a03b9c51"]);
    stage.nodes(&[loaded("kind-worker"), loaded("kind-worker2"), Node::new("kind-worker3")]).await?;

    let pods = stage.deploy("petstore:tilt-a03b9c51", Some("IfNotPresent"), 3).await?;
    let holders = ["kind-worker", "kind-worker2"];
    screen.labelled("without Berth", &told(&pods.without));
    screen.check("a Pod is on kind-worker3, which does not have the image", !all_on(&pods.without, &holders));
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check("every Pod is on a node that has the image", all_on(&pods.with, &holders));
    screen.check("the reference is untouched: Tilt compares it", all_have(&pods.with, "petstore:tilt-a03b9c51"));

    stage.clear_pods().await?;
    screen.text("Then `kind load` brings it to kind-worker3 as well.");
    stage.cluster.set_images("kind-worker3", &[&["docker.io/library/petstore:tilt-a03b9c51"], SANDBOX]).await?;
    let pods = stage.deploy("petstore:tilt-a03b9c51", Some("IfNotPresent"), 3).await?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check(
        "where all nodes have it, all are used and nothing waits",
        places(&pods.with).len() == 3 && !pods.with.iter().any(gated),
    );
    Ok(())
}

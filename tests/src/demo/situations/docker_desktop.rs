use crate::{
    cluster::Node,
    demo::{
        pod::{all_on, gated, told},
        stage::{SANDBOX, Stage},
    },
};

/// A local build under `latest`: the API server fills in `Always`, and the list of the node that has it is late.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    screen.text(
        "webapp:latest is built on a laptop and imported into worker-2. A node's list is up to 40 s late, so at first \
         nobody seems to have it; and because of `latest` the API server fills in `Always`, so that every kubelet asks \
         Docker Hub for a stranger's webapp.",
    );
    stage.nodes(&[Node::new("worker-1"), Node::new("worker-2"), Node::new("worker-3")]).await?;

    let pods = stage.deploy("webapp:latest", None, 3).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen.check(
        "Pods are on nodes without the image, and all of them ask Docker Hub",
        !all_on(&pods.without, &["worker-2"]),
    );
    stage.changes(&pods)?;
    screen.labelled("with Berth", "none is bound: they wait behind a gate, and say so");
    screen.check("no Pod is scheduled before a node has the image", pods.with.iter().all(gated));

    screen.doing("the kubelet of worker-2 sends its new list: docker.io/library/webapp:latest");
    stage.cluster.set_images("worker-2", &[&["docker.io/library/webapp:latest"], SANDBOX]).await?;
    let opened = stage.opened(3).await?;
    stage.difference("the controller", &pods.with, &opened)?;
    screen.labelled("then", &told(&opened));
    screen.check("every Pod is on worker-2, which has the image", all_on(&opened, &["worker-2"]));
    screen.text(
        "Where another worker still lists last week's build under the same name, Berth cannot tell the two apart yet: \
         that comes with `place.newest` and `berth load` in a later version.",
    );
    Ok(())
}

use crate::{
    cluster::Node,
    demo::{
        pod::{all_have, told},
        stage::Stage,
    },
};

/// A mirror that has one image and not the other.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let nginx = stage.registry.push_index("library/nginx", "1.29", "nginx").await?;
    let mirrored = stage.registry.push_index("dockerhub/library/nginx", "1.29", "nginx").await?;
    let redis = stage.registry.push_index("library/redis", "8", "redis").await?;
    screen.text(
        "docker.io/library/nginx should come from harbor.local/dockerhub/library/nginx where Harbor has it, else from \
         Docker Hub. Harbor has nginx:1.29, and no redis. Docker Hub says which digest is meant, Harbor is asked for \
         that digest.",
    );
    stage.nodes(&[Node::new("node-a"), Node::new("node-b")]).await?;

    let pods = stage.deploy("nginx:1.29", None, 1).await?;
    screen.labelled("without Berth", &told(&pods.without));
    screen.check("the Pod pulls from Docker Hub", all_have(&pods.without, "nginx:1.29"));
    stage.changes(&pods)?;
    screen.labelled("with Berth", &told(&pods.with));
    screen.check(
        "the Pod has Harbor's image, by the digest that Docker Hub gave",
        nginx == mirrored && all_have(&pods.with, &format!("harbor.local/dockerhub/library/nginx:1.29@{nginx}")),
    );

    stage.clear_pods().await?;
    let pods = stage.deploy("redis:8", None, 1).await?;
    stage.changes(&pods)?;
    screen.check("redis stays at its source, by digest", all_have(&pods.with, &format!("redis:8@{redis}")));
    Ok(())
}

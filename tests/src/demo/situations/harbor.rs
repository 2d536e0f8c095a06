use crate::demo::{
    pod::{all_have, all_run},
    stage::Stage,
};

/// A mirror that has one image and not the other.
pub(super) async fn tell(stage: &Stage<'_>) -> anyhow::Result<()> {
    let screen = stage.screen;
    let nginx = stage.push("library/nginx", "1.29", "nginx").await?;
    let mirrored = stage.push("dockerhub/library/nginx", "1.29", "nginx").await?;
    let redis = stage.push("library/redis", "8", "redis").await?;
    screen.text(
        "docker.io/library/nginx should come from harbor.local/dockerhub/library/nginx where Harbor has it, else from \
         Docker Hub. Harbor has nginx:1.29, and no redis. Docker Hub says which digest is meant, Harbor is asked for \
         that digest.",
    );
    let pods = stage.deploy("nginx:1.29", None).await?;
    screen.check("the Pods pull from Docker Hub", all_have(&pods.without, "nginx:1.29"));
    stage.changes(&pods)?;
    screen.check(
        "every Pod has Harbor's image, by the digest that Docker Hub gave",
        nginx == mirrored && all_have(&pods.with, &format!("harbor.local/dockerhub/library/nginx:1.29@{nginx}")),
    );
    stage.seen("and runs", all_run(&pods.with, "nginx"));

    stage.clear().await?;
    let pods = stage.deploy("redis:8", None).await?;
    stage.changes(&pods)?;
    screen.check("redis stays at its source, by digest", all_have(&pods.with, &format!("redis:8@{redis}")));
    stage.seen("and runs", all_run(&pods.with, "redis"));
    Ok(())
}

//! Situation 7: a private mirror of Docker Hub, which lets the nodes have nothing itself.

use anyhow::ensure;
use berth_tests::image::Image;

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let (nginx, redis) = (Image::of("nginx").await?, Image::of("redis").await?);
    stage.hub.push_image("library/nginx", "latest", &nginx).await?;
    // Not in the mirror; the nodes get it from Docker Hub.
    for hub in [&stage.hub, &stage.limited_hub] {
        hub.push_image("library/redis", "latest", &redis).await?;
    }
    let image = "docker.io/library/nginx:latest";
    let push = async { stage.harbor.push_image("dockerhub/library/nginx", "latest", &nginx).await.map(drop) };
    let [soon_off, soon_on] = stage.deploy_soon(Berth::Production, "harbor", [image; 2], None, push).await?;
    soon_off.one_fails(&["ErrImagePull", "ImagePullBackOff"])?;
    soon_on.all_run("nginx")?;

    let off = stage.deploy(Berth::Off, "harbor-off", image, None);
    let on = stage.deploy(Berth::Production, "harbor-on", image, None);
    let source = stage.deploy(Berth::Production, "harbor-source", "redis:latest", None);
    let (off, on, source) = tokio::try_join!(off, on, source)?;
    off.one_fails(&["ErrImagePull", "ImagePullBackOff"])?;
    on.all_run("nginx")?;
    let mirrored = "harbor.local/dockerhub/library/nginx:latest@sha256:";
    ensure!(on.pods.iter().all(|pod| pod.image.starts_with(mirrored)), "{on:?}");
    source.all_run("redis")?;
    ensure!(source.pods.iter().all(|pod| pod.image.starts_with("redis:latest@sha256:")), "{source:?}");
    let row = Row::new("7 Harbor, which has the image");
    let mirrored = row.with([off, on]).soon([soon_off, soon_on]);
    Ok(vec![mirrored, Row { on: Some(source), ..Row::new("7 Harbor, which does not have it") }])
}

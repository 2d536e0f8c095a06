//! Situation 2: a build that one worker got, while all still have last week's under the same name.

use berth_tests::image::Image;

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let (old, new) = (Image::of("last week's").await?, Image::larger("today's", 100_000).await?);
    for node in [stage.a(), stage.b()] {
        node.import(&old, &["webapp:latest", "webshop:latest"]).await?;
    }
    let name = "docker.io/library/webapp:latest";
    let (size, _) = tokio::try_join!(stage.listed(stage.a(), name, None), stage.listed(stage.b(), name, None))?;

    let import = stage.a().import(&new, &["webapp:latest"]);
    let soon = stage.deploy_soon(Berth::Dev, "webapp", "webapp:latest", None, import);
    let loaded = stage.deploy_loaded(Berth::Dev, "webshop:latest", None, &new);
    let ([soon_off, soon_on], loaded) = tokio::try_join!(soon, loaded)?;
    loaded.one_runs("today's")?;
    soon_off.one_fails(PULL_FAILURES)?;
    // Nothing tells the builds apart yet: both nodes have the name.
    soon_on.one_runs("today's")?;

    stage.listed(stage.a(), name, Some(size)).await?;
    let off = stage.deploy(Berth::Off, "webapp-off", "webapp:latest", None);
    let on = stage.deploy(Berth::Dev, "webapp-on", "webapp:latest", None);
    let (off, on) = tokio::try_join!(off, on)?;
    off.one_fails(PULL_FAILURES)?;
    on.one_runs("today's")?;
    let row = Row::new("2 Docker Desktop, last week's build everywhere");
    Ok(vec![row.with([off, on]).soon([soon_off, soon_on]).loaded(loaded)])
}

/// `:latest` means `Always`, and Docker Hub has no such image.
const PULL_FAILURES: &[&str] = &["ErrImagePull", "ImagePullBackOff"];

//! Situation 4: the Deployment carries the digest of an old build.

use berth_tests::image::Image;

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let digest = stage.local.push_image("skaffolded", "latest", &Image::of("Skaffold's").await?).await?;
    let image = format!("localhost:5001/skaffolded:latest@{digest}");
    stage.deploy(Berth::Off, "skaffold-first", &image, None).await?.all_run("Skaffold's")?;

    let newer = Image::of("a newer one").await?;
    let push = async { stage.local.push_image("skaffolded", "latest", &newer).await.map(drop) };
    let [soon_off, soon_on] = stage.deploy_soon(Berth::Dev, "skaffold", [&image; 2], None, push).await?;
    soon_off.all_run("Skaffold's")?;
    soon_on.all_run("a newer one")?;

    stage.listed(stage.a(), &format!("localhost:5001/skaffolded@{digest}"), None).await?;
    let off = stage.deploy(Berth::Off, "skaffold-off", &image, None).await?;
    let on = stage.deploy(Berth::Dev, "skaffold-on", &image, None).await?;
    off.all_run("Skaffold's")?;
    on.all_run("a newer one")?;
    let row = Row::new("4 Skaffold, an old digest");
    Ok(vec![row.with([off, on]).soon([soon_off, soon_on])])
}

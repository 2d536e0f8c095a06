//! Situation 3: a tag that is pushed again to kind's local registry.

use berth_tests::image::Image;

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let (image, policy) = ("localhost:5001/app:v2", Some("IfNotPresent"));
    stage.local.push_image("app", "v2", &Image::of("push 1").await?).await?;
    stage.deploy(Berth::Off, "kind-first", image, policy).await?.all_run("push 1")?;

    let newer = Image::of("push 2").await?;
    let push = async { stage.local.push_image("app", "v2", &newer).await.map(drop) };
    let [soon_off, soon_on] = stage.deploy_soon(Berth::Dev, "kind", [image; 2], policy, push).await?;
    soon_off.all_run("push 1")?;
    soon_on.all_run("push 2")?;

    stage.listed(stage.a(), image, None).await?;
    let off = stage.deploy(Berth::Off, "kind-off", image, policy).await?;
    let on = stage.deploy(Berth::Dev, "kind-on", image, policy).await?;
    off.all_run("push 1")?;
    on.all_run("push 2")?;
    let row = Row::new("3 kind, the same tag pushed again");
    Ok(vec![row.with([off, on]).soon([soon_off, soon_on])])
}

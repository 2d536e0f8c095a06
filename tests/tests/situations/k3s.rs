//! Situation 1: an image that was imported on one node, and `imagePullPolicy: Never`.

use berth_tests::image::Image;

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let never = Some("Never");
    let image = Image::of("the dashboard").await?;
    stage.a().import(&image, &["k3s-dashboard:latest"]).await?;

    // Other names and builds, so that what these bring does not serve the others.
    let fresh = Image::of("a fresh one").await?;
    let import = stage.a().import(&fresh, &["k3s-fresh:latest"]);
    let soon = stage.deploy_soon(Berth::Production, "k3s", ["k3s-fresh:latest"; 2], never, import);
    let loaded = Image::of("a loaded one").await?;
    let loaded = stage.deploy_loaded(Berth::Production, "k3s-loaded:latest", never, &loaded);
    let ([soon_off, soon_on], loaded) = tokio::try_join!(soon, loaded)?;
    soon_off.one_fails(&["ErrImageNeverPull"])?;
    soon_on.all_run_on("a fresh one", "node-a")?;
    loaded.all_run_on("a loaded one", "node-a")?;

    stage.listed(stage.a(), "docker.io/library/k3s-dashboard:latest", None).await?;
    let off = stage.deploy(Berth::Off, "k3s-off", "k3s-dashboard:latest", never);
    let on = stage.deploy(Berth::Production, "k3s-on", "k3s-dashboard:latest", never);
    let (off, on) = tokio::try_join!(off, on)?;
    off.one_fails(&["ErrImageNeverPull"])?;
    on.all_run_on("the dashboard", "node-a")?;
    let row = Row::new("1 K3s, `Never`");
    Ok(vec![row.with([off, on]).soon([soon_off, soon_on]).loaded(loaded)])
}

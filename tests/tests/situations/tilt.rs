//! Situation 5: Tilt, and `kind load`: the image exists on nodes only.

use anyhow::ensure;
use berth_tests::image::Image;

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let (image, policy) = (Image::of("the pet store").await?, Some("IfNotPresent"));
    stage.a().import_as_kind_does(&image, &["petstore:tilt-a03b9c51"]).await?;
    let by_name = named_local(stage);
    let fresh = Image::of("a fresh pet store").await?;
    let load = stage.a().import_as_kind_does(&fresh, &["petstore:tilt-fresh"]);
    let soon = stage.deploy_soon(Berth::Dev, "tilt", ["petstore:tilt-fresh"; 2], policy, load);
    let loaded = Image::of("a loaded pet store").await?;
    let loaded = stage.deploy_loaded(Berth::Dev, "petstore:tilt-loaded", policy, &loaded);
    let ([soon_off, soon_on], named, loaded) = tokio::try_join!(soon, by_name, loaded)?;
    loaded.all_run_on("a loaded pet store", "node-a")?;
    soon_off.one_fails(PULL_FAILURES)?;
    // No node lists it yet, so that it may be on every node: Berth holds nothing up without proof.
    soon_on.one_runs("a fresh pet store")?;

    let tag = "petstore:tilt-a03b9c51";
    stage.listed(stage.a(), &format!("docker.io/library/{tag}"), None).await?;
    let off = stage.deploy(Berth::Off, "tilt-off", tag, policy);
    let on = stage.deploy(Berth::Dev, "tilt-on", tag, policy);
    let (off, on) = tokio::try_join!(off, on)?;
    off.one_fails(PULL_FAILURES)?;
    on.all_run_on("the pet store", "node-a")?;

    stage.b().import_as_kind_does(&image, &[tag]).await?;
    stage.listed(stage.b(), &format!("docker.io/library/{tag}"), None).await?;
    let everywhere = stage.deploy(Berth::Dev, "tilt-all", tag, policy).await?;
    everywhere.all_run("the pet store")?;
    let nodes: Vec<_> = everywhere.pods.iter().map(|pod| pod.node.as_str()).collect();
    ensure!(nodes.contains(&"node-a") && nodes.contains(&"node-b"), "both nodes have it: {everywhere:?}");
    let row = Row::new("5 Tilt and `kind load`, on one node");
    let on_one = row.with([off, on]).soon([soon_off, soon_on]).loaded(loaded);
    let on_all = Row { on: Some(everywhere), ..Row::new("5 Tilt and `kind load`, on all nodes") };
    Ok(vec![on_one, named, on_all])
}

/// A name under `place.local`: there Berth knows that no registry has it, and waits for a node.
async fn named_local(stage: &Stage) -> anyhow::Result<Row> {
    let shop = Image::of("the shop").await?;
    let load = stage.a().import_as_kind_does(&shop, &["shop:tilt-fresh"]);
    let [soon_off, soon_on] =
        stage.deploy_soon(Berth::Dev, "shop", ["shop:tilt-fresh"; 2], Some("IfNotPresent"), load).await?;
    soon_off.one_fails(PULL_FAILURES)?;
    soon_on.all_run_on("the shop", "node-a")?;
    Ok(Row::new("5 Tilt and `kind load`, named in `place.local`").soon([soon_off, soon_on]))
}

/// Docker Hub has no such image.
const PULL_FAILURES: &[&str] = &["ErrImagePull", "ImagePullBackOff"];

//! Situation 2: a build that one worker got, while all still have last week's under the same name.

use anyhow::ensure;
use berth_tests::{image::Image, outcome::Outcome};

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let old = Image::of("last week's").await?;
    let new = Image::larger("today's", 100_000).await?;
    let twin = Image::of("the twin's").await?; // as large as last week's
    for node in [stage.a(), stage.b()] {
        node.import(&old, &["webapp:latest", ASIDE, "webshop:latest"]).await?;
        node.import(&Image::of("the elder's").await?, &["twin:latest", "twin-loaded:latest"]).await?;
    }
    let name = "docker.io/library/webapp:latest";
    let (size, _) = tokio::try_join!(stage.listed(stage.a(), name, None), stage.listed(stage.b(), name, None))?;

    stage.a().import(&twin, &["twin:latest"]).await?;
    let import = stage.a().import(&new, &["webapp:latest", ASIDE]);
    let soon = stage.deploy_soon(Berth::Dev, "webapp", [ASIDE, "webapp:latest"], None, import);
    let loaded = stage.deploy_loaded(Berth::Dev, "webshop:latest", None, &new);
    let twin_loaded = stage.deploy_loaded(Berth::Dev, "twin-loaded:latest", None, &twin);
    let ([soon_off, soon_on], loaded, twin_loaded) = tokio::try_join!(soon, loaded, twin_loaded)?;
    soon_off.one_fails(PULL_FAILURES)?;
    // Nothing tells the builds apart yet: both nodes list the name as before.
    soon_on.one_runs("today's")?;
    loaded.all_run_on("today's", "node-a")?;
    twin_loaded.all_run_on("the twin's", "node-a")?;

    stage.listed(stage.a(), name, Some(size)).await?;
    let off = stage.deploy(Berth::Off, "webapp-off", ASIDE, None);
    let on = stage.deploy(Berth::Dev, "webapp-on", "webapp:latest", None);
    let twins = stage.deploy(Berth::Dev, "twin-on", "twin:latest", None);
    let (off, on, twins) = tokio::try_join!(off, on, twins)?;
    off.one_fails(PULL_FAILURES)?;
    on.all_run_on("today's", "node-a")?;
    told_apart_by_nobody(&twins)?;
    let row = Row::new("2 Docker Desktop, last week's build everywhere");
    let row = row.with([off, on]).soon([soon_off, soon_on]).loaded(loaded);
    let twins = Row { on: Some(twins), ..Row::new("2 the same, of the same size to the byte").loaded(twin_loaded) };
    Ok(vec![row, twins])
}

/// A node's list has names and sizes, and both are as before.
fn told_apart_by_nobody(twins: &Outcome) -> anyhow::Result<()> {
    twins.one_runs("the twin's")?;
    ensure!(twins.pods.iter().all(|pod| pod.notes.contains("cannot tell")), "no word of it: {twins:?}");
    Ok(())
}

/// The same builds for those whose kubelets ask a registry: while one does, it takes what it holds by that name for pulled,
/// and asks for every Pod. Source: `pkg/kubelet/images/pullmanager`, `MustAttemptImagePull`.
const ASIDE: &str = "webapp-aside:latest";
/// `:latest` means `Always`, and Docker Hub has no such image.
const PULL_FAILURES: &[&str] = &["ErrImagePull", "ImagePullBackOff"];

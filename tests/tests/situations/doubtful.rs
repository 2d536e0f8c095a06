//! What a node lists and yet may not start: content that was pulled under another name (KEP-2535, on by default since
//! 1.35), and names that came by `ctr images tag`.

use anyhow::ensure;
use berth_tests::{
    image::Image,
    outcome::{End, Outcome, PodOutcome},
};

use crate::{
    stage::{Berth, Stage},
    table::Row,
};

const NEVER: Option<&str> = Some("Never");

/// Pulled and imported on node A, in both orders; and only imported on node B.
pub(crate) async fn contested(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let pulled_first = both_ways(stage, true);
    let imported_first = both_ways(stage, false);
    let (pulled_first, imported_first) = tokio::try_join!(pulled_first, imported_first)?;
    Ok([pulled_first, imported_first].concat())
}

async fn both_ways(stage: &Stage, pulled_first: bool) -> anyhow::Result<Vec<Row>> {
    let name = if pulled_first { "pulled-first" } else { "imported-first" };
    let (image, local) = (Image::of(name).await?, format!("{name}:dev"));
    stage.local.push_image(name, "v1", &image).await?;
    if pulled_first {
        pull(stage, name).await?;
    }
    stage.a().import(&image, &[&local]).await?;
    if !pulled_first {
        pull(stage, name).await?;
    }
    let listed = format!("docker.io/library/{local}");
    stage.listed_beside(stage.a(), &listed, &format!("localhost:5001/{name}:v1")).await?;
    // With nobody else: the Pod goes where it may fail, and says why.
    let off = stage.deploy(Berth::Off, &format!("{name}-off"), &local, NEVER).await?;
    let on = stage.deploy(Berth::Production, &format!("{name}-on"), &local, NEVER).await?;
    refused_on_a(&off)?;
    refused_on_a(&on)?;
    ensure!(on.pods.iter().all(|pod| pod.node == "node-a"), "node-b does not even list it: {on:?}");
    ensure!(on.pods.iter().all(|pod| pod.notes.contains("may refuse it")), "no word of it: {on:?}");
    println!("contested, {name}: Berth notes: {}", on.pods[0].notes);

    stage.b().import(&image, &[&local]).await?;
    stage.listed(stage.b(), &listed, None).await?;
    let clean_off = stage.deploy(Berth::Off, &format!("{name}-clean-off"), &local, NEVER).await?;
    let clean_on = stage.deploy(Berth::Production, &format!("{name}-clean-on"), &local, NEVER).await?;
    refused_on_a(&clean_off)?;
    clean_on.all_run_on(name, "node-b")?;
    let [alone, clean] = if pulled_first {
        ["pulled, then imported under another name", "the same, and imported on node-b"]
    } else {
        ["imported, then pulled under another name", "the same, and imported on node-b"]
    };
    Ok(vec![Row::new(alone).with([off, on]), Row::new(clean).with([clean_off, clean_on])])
}

/// By a kubelet, so that it remembers; node A alone.
async fn pull(stage: &Stage, name: &str) -> anyhow::Result<()> {
    let image = format!("localhost:5001/{name}:v1");
    stage.pod_on(stage.a(), &format!("{name}-pulled"), &image).await?.all_run(name)
}

/// Both have the image, node A by a name that its kubelet does not take.
fn refused_on_a(outcome: &Outcome) -> anyhow::Result<()> {
    let refused = |pod: &PodOutcome| matches!(&pod.end, End::Fails(reason, _) if reason == "ErrImageNeverPull");
    let on_a: Vec<_> = outcome.pods.iter().filter(|pod| pod.node == "node-a").collect();
    ensure!(!on_a.is_empty() && on_a.into_iter().all(refused), "node-a takes it: {outcome:?}");
    Ok(())
}

/// A name that `ctr images tag` made is listed with all its defaults, and held without them.
pub(crate) async fn tagged(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    stage.a().import(&Image::of("tagged").await?, &["tagged:dev"]).await?;
    stage.a().tag("docker.io/library/tagged:dev", "renamed:dev").await?;
    stage.listed(stage.a(), "docker.io/library/renamed:dev", None).await?;
    let off = stage.deploy(Berth::Off, "renamed-off", "renamed:dev", NEVER).await?;
    let on = stage.deploy(Berth::Production, "renamed-on", "renamed:dev", NEVER).await?;
    refused_on_a(&off)?;
    // Nobody can see it from outside: Berth goes by the list.
    refused_on_a(&on)?;
    ensure!(on.pods.iter().all(|pod| pod.node == "node-a"), "node-b does not even list it: {on:?}");
    Ok(vec![Row::new("`ctr images tag renamed:dev`: listed, and not usable").with([off, on])])
}

/// Collected or removed between a node's report and the Pod: the list is late in this direction, too.
pub(crate) async fn removed(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let image = Image::of("removed").await?;
    let listed = "docker.io/library/removed:dev";
    for node in [stage.a(), stage.b()] {
        node.import(&image, &["removed:dev"]).await?;
    }
    tokio::try_join!(stage.listed(stage.a(), listed, None), stage.listed(stage.b(), listed, None))?;
    let remove = stage.a().remove_image(listed);
    let [soon_off, soon_on] =
        stage.deploy_soon(Berth::Production, "removed", ["removed:dev"; 2], NEVER, remove).await?;
    refused_on_a(&soon_off)?;
    soon_on.one_runs("removed")?; // on node B, whatever node A still lists
    stage.unlisted(stage.a(), listed).await?;
    let off = stage.deploy(Berth::Off, "removed-off", "removed:dev", NEVER);
    let on = stage.deploy(Berth::Production, "removed-on", "removed:dev", NEVER);
    let (off, on) = tokio::try_join!(off, on)?;
    refused_on_a(&off)?;
    on.all_run_on("removed", "node-b")?;
    Ok(vec![Row::new("removed from node-a").with([off, on]).soon([soon_off, soon_on])])
}

//! The demo: the situations that Berth is for, told on a real cluster, each with what happens without Berth.
//!
//! It checks what it says: a sentence that does not come true is marked, and the demo fails.

mod diff;
mod nodes;
mod pod;
mod screen;
mod situations;
mod stage;
mod yaml;

use std::process::ExitCode;

use anyhow::Context as _;
use futures::future::try_join_all;

pub use self::screen::Screen;
use self::stage::Stage;
use crate::kubelet::Kubelets;

/// How the demo is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The cluster stays up afterwards.
    pub keep: bool,
    /// Nodes are Node objects, also where there could be real ones.
    pub written_nodes: bool,
}

/// Sets the stage, tells all situations, and clears away. To keep the cluster is to keep it until `stop` comes true.
pub async fn run(screen: &Screen, options: Options, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    screen.heading("Berth in seven situations");
    let real = introduced(screen, options.written_nodes).await?;
    screen.doing("starting the cluster, the registry, the webhook and the controller");
    let stage = Stage::set(screen, real).await?;
    screen.text("The webhook's configuration:");
    screen.block(stage.configuration());
    prepare(&stage, real).await?;
    for (number, situation) in (1..).zip(situations::ALL) {
        screen.heading(&format!("{number}  {}", situation.title));
        let told = (situation.tell)(&stage).await;
        told.with_context(|| format!("situation {number} cannot be told"))?;
        stage.clear().await?;
    }
    let broken = screen.broken();
    screen.heading(if broken.is_empty() { "All seven came out as told." } else { "This did not come out as told:" });
    screen.block(&broken.join("\n"));
    if options.keep {
        keep_open(screen, &stage).await?;
        stop.await;
    }
    screen.doing("stopping everything");
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what is real, and whether the nodes are.
async fn introduced(screen: &Screen, written_nodes: bool) -> anyhow::Result<bool> {
    let refused = if written_nodes {
        Some("that was asked for".to_owned())
    } else {
        tokio::task::spawn_blocking(Kubelets::prepare).await?.err().map(|reason| format!("{reason:#}"))
    };
    let Some(reason) = &refused else {
        screen.text(
            "Everything is real: the API server, the scheduler and the controllers of Kubernetes, two nodes with a \
             kubelet, containerd and runc each, the distribution project's registry, `berth webhook`, \
             `berth controller`. Every image is a small program that answers which build it is: what a Pod is said to \
             run, it has answered.",
        );
        return Ok(true);
    };
    screen.text(
        "Real: the API server, the scheduler and the controllers of Kubernetes, the distribution project's registry, \
         `berth webhook`, `berth controller`.",
    );
    screen.text(&format!(
        "Not real: the nodes are Node objects with chosen images ({reason}), so Pods are bound but never run, and what a \
         kubelet would say is told, not shown.",
    ));
    Ok(false)
}

/// Brings to the nodes what situations begin with, and waits until they list it.
async fn prepare(stage: &Stage<'_>, real: bool) -> anyhow::Result<()> {
    let prepared = situations::ALL.map(|situation| (situation.prepare)(stage));
    try_join_all(prepared).await.context("the situations cannot be prepared")?;
    if real {
        stage.screen.doing("images are on the nodes; waiting for the kubelets to list them, which they do every 30 s");
    }
    stage.listed().await
}

/// Leaves something to play with, and says how.
async fn keep_open(screen: &Screen, stage: &Stage<'_>) -> anyhow::Result<()> {
    screen.heading("Try it");
    stage.load("webapp:latest", "a build to play with", Some("node-a")).await?;
    let digest = stage.push("app", "v2", "a build to play with").await?;
    screen.text(&format!(
        "The cluster stays up. In the namespace {} Berth changes Pods, in {} it does not. localhost:5001/app:v2 means \
         {digest} now. In another terminal:",
        stage::WITH,
        stage::WITHOUT,
    ));
    let kubectl = stage.cluster().kubectl_path().display();
    screen.block(&format!(
        "export KUBECONFIG={kubeconfig}\n\
         alias kubectl={kubectl}\n\
         kubectl run app -n {WITH} --image=localhost:5001/app:v2\n\
         kubectl run webapp -n {WITH} --image=webapp:latest\n\
         kubectl get pods -n {WITH} -o yaml\n\
         kubectl apply -n {WITH} -f FILE",
        kubeconfig = stage.cluster().kubeconfig().display(),
        WITH = stage::WITH,
    ));
    screen.text("Press Enter or Ctrl-C to stop everything.");
    Ok(())
}

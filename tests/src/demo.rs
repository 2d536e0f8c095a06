//! The demo: the situations that Berth is for, told on a real control plane, each with what happens without Berth.
//!
//! It checks what it says: a sentence that does not come true is marked, and the demo fails.

mod diff;
mod pod;
mod screen;
mod situations;
mod stage;
mod yaml;

use std::process::ExitCode;

use anyhow::Context as _;

pub use self::screen::Screen;
use self::stage::Stage;
use crate::cluster::Node;

/// Sets the stage, tells all situations, and clears away. With `keep` the cluster stays until `stop` comes true.
pub async fn run(screen: &Screen, keep: bool, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    screen.heading("Berth in seven situations");
    screen.text(
        "Real: the API server, the scheduler and the controllers of Kubernetes, the distribution project's registry, \
         `berth webhook`, `berth controller`. \
         Not real: the nodes are Node objects with chosen images, so Pods are bound but never run, and what a kubelet \
         would say is told, not shown.",
    );
    screen.doing("starting the cluster, the registry, the webhook and the controller");
    let stage = Stage::set(screen).await?;
    screen.text("The webhook's configuration:");
    screen.block(stage.configuration());
    for (number, situation) in (1..).zip(situations::ALL) {
        screen.heading(&format!("{number}  {}", situation.title));
        let told = situation.tell(&stage).await;
        told.with_context(|| format!("situation {number} cannot be told"))?;
        stage.clear().await?;
    }
    let broken = screen.broken();
    screen.heading(if broken.is_empty() { "All seven came out as told." } else { "This did not come out as told:" });
    screen.block(&broken.join("\n"));
    if keep {
        keep_open(screen, &stage).await?;
        stop.await;
    }
    screen.doing("stopping everything");
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Leaves something to play with, and says how.
async fn keep_open(screen: &Screen, stage: &Stage<'_>) -> anyhow::Result<()> {
    screen.heading("Try it");
    stage.nodes(&[Node::new("worker-1").image(&["docker.io/library/webapp:latest"]), Node::new("worker-2")]).await?;
    let digest = stage.registry.push("app", "v2", "to play with").await?;
    screen.text(&format!(
        "The cluster stays up. In the namespace {} Berth changes Pods, in {} it does not. localhost:5001/app:v2 means \
         {digest} now. In another terminal:",
        stage::WITH,
        stage::WITHOUT,
    ));
    let kubectl = stage.cluster.kubectl_path().display();
    screen.block(&format!(
        "export KUBECONFIG={kubeconfig}\n\
         alias kubectl={kubectl}\n\
         kubectl run app -n {WITH} --image=localhost:5001/app:v2\n\
         kubectl run webapp -n {WITH} --image=webapp:latest\n\
         kubectl get pods -n {WITH} -o yaml\n\
         kubectl apply -n {WITH} -f FILE",
        kubeconfig = stage.cluster.kubeconfig().display(),
        WITH = stage::WITH,
    ));
    screen.text("Press Enter or Ctrl-C to stop everything.");
    Ok(())
}

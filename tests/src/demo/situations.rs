//! The seven situations, a file each.

mod docker_desktop;
mod harbor;
mod internal_registry;
mod k3s;
mod kind;
mod skaffold;
mod tilt;

use futures::future::LocalBoxFuture;

use super::stage::Stage;

/// One situation.
pub(super) struct Situation {
    pub(super) title: &'static str,
    tell: for<'s> fn(&'s Stage<'_>) -> LocalBoxFuture<'s, anyhow::Result<()>>,
}

impl Situation {
    /// Tells it on `stage`, which is empty.
    pub(super) async fn tell(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        (self.tell)(stage).await
    }
}

/// In the order of the README.
pub(super) const ALL: [Situation; 7] = [
    Situation { title: "K3s: an image imported on one node, never pulled", tell: |stage| Box::pin(k3s::tell(stage)) },
    Situation {
        title: "Docker Desktop: a build that only one worker gets",
        tell: |stage| Box::pin(docker_desktop::tell(stage)),
    },
    Situation { title: "kind: a tag that was pushed again", tell: |stage| Box::pin(kind::tell(stage)) },
    Situation { title: "Skaffold: a digest that somebody else wrote", tell: |stage| Box::pin(skaffold::tell(stage)) },
    Situation { title: "Tilt: an image that exists on nodes only", tell: |stage| Box::pin(tilt::tell(stage)) },
    Situation { title: "A registry inside the cluster", tell: |stage| Box::pin(internal_registry::tell(stage)) },
    Situation { title: "Harbor: a private mirror of Docker Hub", tell: |stage| Box::pin(harbor::tell(stage)) },
];

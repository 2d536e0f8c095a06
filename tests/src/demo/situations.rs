//! The seven situations, a file each.

mod docker_desktop;
mod harbor;
mod internal_registry;
mod k3s;
mod kind;
mod skaffold;
mod tilt;

use futures::future::{LocalBoxFuture, ready};

use super::stage::Stage;

/// What happens on the stage.
type Act = for<'s> fn(&'s Stage<'_>) -> LocalBoxFuture<'s, anyhow::Result<()>>;

/// One situation.
pub(super) struct Situation {
    pub(super) title: &'static str,
    /// Brings to the nodes what it begins with.
    pub(super) prepare: Act,
    /// Tells it, where no Pod of another one is left.
    pub(super) tell: Act,
}

/// In the order of the README.
pub(super) const ALL: [Situation; 7] = [
    Situation {
        title: "K3s: an image imported on one node, never pulled",
        prepare: |stage| Box::pin(k3s::prepare(stage)),
        tell: |stage| Box::pin(k3s::tell(stage)),
    },
    Situation {
        title: "Docker Desktop: a build that only one worker gets",
        prepare: NOTHING,
        tell: |stage| Box::pin(docker_desktop::tell(stage)),
    },
    Situation {
        title: "kind: a tag that was pushed again",
        prepare: |stage| Box::pin(kind::prepare(stage)),
        tell: |stage| Box::pin(kind::tell(stage)),
    },
    Situation {
        title: "Skaffold: a digest that somebody else wrote",
        prepare: NOTHING,
        tell: |stage| Box::pin(skaffold::tell(stage)),
    },
    Situation {
        title: "Tilt: an image that exists on nodes only",
        prepare: |stage| Box::pin(tilt::prepare(stage)),
        tell: |stage| Box::pin(tilt::tell(stage)),
    },
    Situation {
        title: "A registry inside the cluster",
        prepare: |stage| Box::pin(internal_registry::prepare(stage)),
        tell: |stage| Box::pin(internal_registry::tell(stage)),
    },
    Situation {
        title: "Harbor: a private mirror of Docker Hub",
        prepare: NOTHING,
        tell: |stage| Box::pin(harbor::tell(stage)),
    },
];

const NOTHING: Act = |_| Box::pin(ready(Ok(())));

/// Reasons of a kubelet that cannot pull.
const PULL_FAILURES: &[&str] = &["ErrImagePull", "ImagePullBackOff"];

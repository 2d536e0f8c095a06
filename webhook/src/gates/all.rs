//! Opening every gate in the cluster: for the end of Berth, and for when it has to get out of the way at once.

use futures::{StreamExt as _, stream};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;

use super::{AT_ONCE, NOT_YET_BOUND, lift::Gated, list, pods};
use crate::{
    admission::{
        note::Note,
        place::{GATED_LABEL, Placement, WAITED},
    },
    call::{Failure, within},
    events::PodRef,
};

/// What became of one Pod.
#[derive(Debug)]
pub struct Opened {
    /// The Pod.
    pub pod: PodRef,
    /// Why its gate stays, where it does.
    pub failure: Option<String>,
}

/// Opens the gates of all Pods, wherever their images are, and takes the label off Pods that have no gate. The Pods say
/// that they waited `until` that.
///
/// Pods that are gated meanwhile are found as well: it is looked again until there are no more, a few times.
///
/// # Errors
/// The Pods cannot be listed.
pub async fn open_all(client: &Client, until: &str) -> anyhow::Result<Vec<Opened>> {
    let mut all: Vec<Opened> = Vec::new();
    for _ in 0..ROUNDS {
        let found = gated(client).await?;
        if found.is_empty() {
            break;
        }
        all.retain(|opened| opened.failure.is_none()); // they are tried again
        let open = |pod: Gated| async move {
            let failure = open(client, &pod, until).await.err().map(|failure| failure.to_string());
            Opened { pod: pod.who, failure }
        };
        all.extend(stream::iter(found).map(open).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    }
    unlabel(client).await?;
    all.sort_by(|one, other| (&one.pod.namespace, &one.pod.name).cmp(&(&other.pod.namespace, &other.pod.name)));
    Ok(all)
}

/// All gated Pods, by their gates and not by their labels.
async fn gated(client: &Client) -> Result<Vec<Gated>, Failure> {
    list(client, ListParams::default().fields(NOT_YET_BOUND), Gated::of).await
}

/// Where the Pod has changed since it was listed, the next round finds it.
async fn open(client: &Client, pod: &Gated, until: &str) -> Result<(), Failure> {
    let Ok(decoded) = pod.pod() else { return Ok(()) }; // the API server shows no such Pod
    let patch = pod.lift(
        &decoded,
        &Placement::default(),
        &[Note::info(format!("{WAITED} until {until}, wherever its image is"))],
    );
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &pod.who.namespace, &pods());
    match within(api.patch(&pod.who.name, &PatchParams::default(), &Patch::Json::<()>(patch))).await {
        Err(failure) if failure.is_gone() => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Takes the label of gated Pods off all that have it: none is gated any more.
async fn unlabel(client: &Client) -> Result<(), Failure> {
    let ungated = |object: &DynamicObject| {
        let version = object.metadata.resource_version.clone();
        PodRef::of(&object.metadata).zip(version).filter(|_| Gated::of(object).is_none())
    };
    for (pod, version) in list(client, ListParams::default().labels(GATED_LABEL), ungated).await? {
        let metadata = json!({ "uid": pod.uid, "resourceVersion": version, "labels": { GATED_LABEL: null } });
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &pod.namespace, &pods());
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match within(api.patch(&pod.name, &PatchParams::default(), &patch)).await {
            Err(failure) if failure.is_gone() || failure.is_changed() => (), // it is only a label
            outcome => outcome.map(drop)?,
        }
    }
    Ok(())
}

/// How often it is looked for gated Pods.
const ROUNDS: usize = 5;

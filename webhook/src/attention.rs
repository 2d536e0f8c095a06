//! Notes on which a person should act become Events: whoever looks at a Deployment never sees a warning of its Pods.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::watcher::{Config, Event},
};

use crate::{
    admission::patch::metadata::{ATTENTION, NOTES, is_about_waiting},
    events::{PodRef, Reason, Recorder},
    follow::{self, attentive},
    telemetry::Metrics,
};

/// Says in Events what the notes of Pods say that have the label `berth.dev/attention: "true"`, for ever.
pub async fn follow(client: Client, events: Arc<Recorder>, metrics: Arc<Metrics>) {
    // Only metadata is asked for.
    let api = Api::<PartialObjectMeta<Pod>>::all(attentive(client, || ()));
    let config = Config::default().labels(&format!("{ATTENTION}=true"));
    follow::follow("noted pods", api, config, &metrics, |event| {
        if let Event::InitApply(pod) | Event::Apply(pod) = event {
            say(&pod, &events);
        }
    })
    .await;
}

/// What a Pod waits for is said by whoever opens its gate.
fn say(pod: &PartialObjectMeta<Pod>, events: &Recorder) {
    let lines = pod.annotations().get(NOTES).into_iter().flat_map(|notes| notes.lines());
    let notes = lines.filter(|line| !is_about_waiting(line)).collect::<Vec<_>>().join("\n");
    let pod = PodRef::of(&pod.metadata).filter(|_| pod.metadata.deletion_timestamp.is_none());
    if let Some(pod) = pod.filter(|_| !notes.is_empty()) {
        events.say(&pod, Reason::ImageNotes, &notes);
    }
}

//! Events: what Berth says about Pods after their review, and about its certificates, where `kubectl describe` shows it.
//!
//! Each is written once for an object and a text: its name is made of both, so that neither a second controller nor one that
//! was restarted says it again. On the Pod's top owner the Events of all its Pods are one series.

mod owner;
mod queue;
mod series;
mod write;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Client;
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tracing::{debug, warn};

use self::{owner::Owners, queue::Queue, series::Series, write::Told};
use crate::telemetry::{Metrics, outcome};

/// A Pod that something is to be said about.
#[derive(Clone, Debug, PartialEq)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What controls it.
    pub owner: Option<OwnerReference>,
}

impl PodRef {
    /// The Pod of this metadata; none where it is incomplete, which the API server never shows.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            owner: owner::controller(metadata).cloned(),
        })
    }

    /// As an Event refers to it.
    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// Why an Event is made: its `reason`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The Pod is gated.
    WaitingForImage,
    /// Its gate was opened.
    GateLifted,
    /// It cannot be scheduled where Berth placed it.
    StuckOnImage,
    /// Its review left notes on which a person should act.
    ImageNotes,
    /// Something about certificates.
    Certificate {
        /// In the words of the library that keeps them.
        word: &'static str,
        /// Whether a person should look.
        warning: bool,
    },
}

impl Reason {
    /// As `kubectl` shows it.
    fn word(self) -> &'static str {
        match self {
            Self::WaitingForImage => "WaitingForImage",
            Self::GateLifted => "GateLifted",
            Self::StuckOnImage => "StuckOnImage",
            Self::ImageNotes => "ImageNotes",
            Self::Certificate { word, .. } => word,
        }
    }

    /// What Berth was doing: the Event's `action`.
    fn action(self) -> &'static str {
        match self {
            Self::WaitingForImage | Self::GateLifted | Self::StuckOnImage => "Place",
            Self::ImageNotes => "Review",
            Self::Certificate { .. } => "Certify",
        }
    }

    /// The Event's `type`.
    fn kind(self) -> &'static str {
        match self {
            Self::GateLifted | Self::Certificate { warning: false, .. } => "Normal",
            Self::WaitingForImage | Self::StuckOnImage | Self::ImageNotes | Self::Certificate { warning: true, .. } => {
                "Warning"
            }
        }
    }
}

/// What is to be said.
#[derive(Clone, Debug)]
struct Saying {
    about: ObjectReference,
    /// What controls it.
    owner: Option<OwnerReference>,
    reason: Reason,
    note: String,
    /// How often it was tried in vain.
    failed: u32,
}

/// Writes Events, at a bounded rate: each namespace has its turn.
pub struct Recorder {
    client: Client,
    /// Who says it: the controller's Pod.
    instance: String,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
    owners: Owners,
    series: Mutex<Series>,
    news: Notify,
}

impl Recorder {
    /// A recorder in the cluster of `client`; `instance` is for people who look at the Event.
    pub fn new(client: Client, instance: &str, metrics: Arc<Metrics>) -> Self {
        Self {
            owners: Owners::new(client.clone()),
            client,
            instance: instance.chars().take(INSTANCE_LIMIT).collect(),
            metrics,
            queue: Mutex::default(),
            series: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Says `note` about `pod`, in a moment; nothing where that was said within the hour for which Events are kept.
    pub fn say(&self, pod: &PodRef, reason: Reason, note: &str) {
        self.say_about(Saying::new(pod.reference(), pod.owner.clone(), reason, note));
    }

    /// The same about any object; its uid may be unknown.
    pub fn say_of(&self, about: ObjectReference, reason: Reason, note: &str) {
        self.say_about(Saying::new(about, None, reason, note));
    }

    fn say_about(&self, saying: Saying) {
        if self.queue().is_new(&saying.name(), Instant::now()) {
            self.put(saying);
        }
    }

    /// Writes what is to be said, for ever.
    pub async fn run(&self) {
        loop {
            let due = self.series().due(Instant::now());
            for (name, told) in due {
                self.tell_owner(name, told).await;
            }
            let next = self.queue().pop();
            match next {
                Some(saying) => self.write(saying).await,
                None => drop(time::timeout(IDLE, self.news.notified()).await),
            }
            time::sleep(SPACING).await;
        }
    }

    fn put(&self, saying: Saying) {
        let name = saying.name();
        let mut queue = self.queue();
        if queue.push(saying) {
            self.news.notify_one();
        } else {
            queue.forget(&name);
            self.metrics.controller.event(outcome::Event::Dropped);
        }
    }

    /// Writes one Event on its object and, where it is new, counts it for the object's top owner.
    async fn write(&self, mut saying: Saying) {
        match self.create(&saying.name(), &saying.about, saying.reason, &saying.note, 1).await {
            Ok(Told::New) => {
                if let Some(owner) = self.owners.top(saying.namespace(), saying.owner.as_ref()).await {
                    let (name, told) = series::about(&saying, owner);
                    self.series().count(&name, told);
                }
            }
            Ok(Told::Before) => (),
            Err(failure) if failure.may_pass() && saying.failed < ATTEMPTS => {
                debug!(%failure, "an Event could not be written, and will be tried again");
                saying.failed += 1;
                self.put(saying);
                time::sleep(AFTER_FAILURE).await;
            }
            Err(failure) => {
                let ObjectReference { kind, name, .. } = &saying.about;
                warn!(namespace = saying.namespace(), kind, name, %failure, "an Event could not be written");
                self.queue().forget(&saying.name());
                self.metrics.controller.event(outcome::Event::Failed);
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time between two Events: at most fifty a second.
const SPACING: Duration = Duration::from_millis(20);
/// Time between two looks at series that are due, where nothing else is to be said.
const IDLE: Duration = Duration::from_secs(1);
/// Pause where the API server does not take an Event.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often an Event is tried again.
const ATTEMPTS: u32 = 5;
/// Source: `k8s.io/kubernetes/pkg/apis/core/validation`, `ReportingInstanceLengthLimit`.
const INSTANCE_LIMIT: usize = 128;

#[cfg(test)]
mod tests;

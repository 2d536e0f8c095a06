//! What becomes of Pods on real nodes: what they run, or why the kubelet cannot start them.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// What became of all its Pods, and after how long.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Each of them.
    pub pods: Vec<PodOutcome>,
    /// When the Deployment was applied.
    pub applied: Instant,
    /// When all had come out.
    pub after: Duration,
    /// How soon after the import or push it was applied, where that matters.
    soon: Option<Duration>,
}

/// What became of one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PodOutcome {
    /// The node that it is bound to.
    pub node: String,
    /// How it came out.
    pub end: End,
    /// Its image as it is stored.
    pub image: String,
    /// What Berth noted there.
    pub notes: String,
}

/// How it came out.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum End {
    /// It runs, and this is the build that it answers.
    Runs(String),
    /// The kubelet cannot start it, for this reason, with this message.
    Fails(String, String),
}

impl Outcome {
    /// Of a Deployment that was applied then.
    pub fn new(pods: Vec<PodOutcome>, applied: Instant) -> Self {
        Self { pods, applied, after: applied.elapsed(), soon: None }
    }

    /// Says how soon after `change` it was applied.
    #[must_use]
    pub fn soon_after(mut self, change: Instant) -> Self {
        self.soon = Some(self.applied - change);
        self
    }

    /// Whether every Pod runs `build`.
    pub fn all_run(&self, build: &str) -> anyhow::Result<()> {
        let fine = self.pods.iter().all(|pod| matches!(&pod.end, End::Runs(runs) if runs == build));
        ensure!(fine, "not every Pod runs `{build}`: {self:?}");
        Ok(())
    }

    /// Whether every Pod runs `build`, on `node`.
    pub fn all_run_on(&self, build: &str, node: &str) -> anyhow::Result<()> {
        self.all_run(build)?;
        ensure!(self.pods.iter().all(|pod| pod.node == node), "not every Pod is on {node}: {self:?}");
        Ok(())
    }

    /// Whether there is a Pod that failed for one of these reasons.
    pub fn one_fails(&self, reasons: &[&str]) -> anyhow::Result<()> {
        let fails = |pod: &PodOutcome| matches!(&pod.end, End::Fails(reason, _) if reasons.contains(&reason.as_str()));
        ensure!(self.pods.iter().any(fails), "no Pod fails by {reasons:?}: {self:?}");
        Ok(())
    }

    /// Whether there is a Pod that runs `build`.
    pub fn one_runs(&self, build: &str) -> anyhow::Result<()> {
        let runs = |pod: &PodOutcome| matches!(&pod.end, End::Runs(runs) if runs == build);
        ensure!(self.pods.iter().any(runs), "no Pod runs `{build}`: {self:?}");
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for pod in &self.pods {
            let end = match &pod.end {
                End::Runs(build) => build,
                End::Fails(reason, _) => reason,
            };
            *counts.entry(format!("{end} on {}", pod.node)).or_default() += 1;
        }
        let times = |count: usize| if count == 1 { String::new() } else { format!(" ×{count}") };
        let told: Vec<_> = counts.iter().map(|(what, count)| format!("{what}{}", times(*count))).collect();
        let soon = self.soon.map(|soon| format!("applied {:.1} s after it, ", soon.as_secs_f64())).unwrap_or_default();
        write!(f, "{} ({soon}took {:.1} s)", told.join(", "), self.after.as_secs_f64())
    }
}

/// What became of `pod`.
///
/// # Errors
/// Nothing yet, and what it waits for.
pub async fn of(http: &reqwest::Client, pod: &Pod) -> anyhow::Result<PodOutcome> {
    let pod = serde_json::to_value(pod)?;
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let state = pod.pointer("/status/containerStatuses/0/state").cloned().unwrap_or_default();
    let reason = state.pointer("/waiting/reason").and_then(Value::as_str).unwrap_or_default();
    let end = if REFUSALS.contains(&reason) {
        let message = state.pointer("/waiting/message").and_then(Value::as_str).unwrap_or_default();
        End::Fails(reason.to_owned(), message.to_owned())
    } else {
        ensure!(state.get("running").is_some(), "{} is {}", text("/metadata/name"), waiting(&pod));
        let address = text("/status/podIP");
        ensure!(!address.is_empty(), "it has no address yet");
        let answer = http.get(format!("http://{address}:8080")).send().await.context("its program does not answer")?;
        End::Runs(answer.text().await?)
    };
    let notes = pod.pointer("/metadata/annotations").and_then(|all| all.get("berth.dev/notes")).and_then(Value::as_str);
    Ok(PodOutcome {
        node: text("/spec/nodeName"),
        end,
        image: text("/spec/containers/0/image"),
        notes: notes.unwrap_or_default().to_owned(),
    })
}

fn waiting(pod: &Value) -> String {
    let parts = ["/spec/schedulingGates", "/spec/nodeName", "/status/conditions", "/status/containerStatuses"];
    parts.iter().filter_map(|part| Some(format!("{part}: {}", pod.pointer(part)?))).collect::<Vec<_>>().join(" ")
}

/// Reasons of a kubelet that does not get an image.
const REFUSALS: [&str; 4] = ["ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"];

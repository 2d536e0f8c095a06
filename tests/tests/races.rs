//! What is true of a node changes between the review of a Pod and its binding: its image comes, goes, or the node does.
//! Real webhook, controller, scheduler and owners; each race is run at many offsets, and what came of it is counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]
#![allow(clippy::print_stdout, reason = "the counts are what people read")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt,
    time::Duration,
};

use anyhow::{bail, ensure};
use berth_tests::{
    berth::{self, Controller, Webhook, opted_in},
    cluster::{Cluster, Node},
    wait::until,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

#[tokio::test]
async fn no_pod_goes_where_its_image_never_was_nor_waits_for_ever() {
    let cluster = Cluster::start().await.unwrap();
    let rounds = if env::var("BERTH_BARS").is_ok_and(|bars| bars == "full") { 100 } else { 8 };
    for stuck in ["note", "delete"] {
        let settings =
            format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\nplace: {{stuckAfter: 5s, stuck: {stuck}}}\n");
        let _controller = Controller::start(&cluster, &settings).await.unwrap();
        let _webhook = Webhook::start(&cluster, &berth::Options::new(&settings)).await.unwrap();
        for change in [Change::Imported, Change::Removed, Change::Deleted] {
            let race = Race { cluster: &cluster, change, stuck, rounds };
            let counts = race.run().await.unwrap();
            assert!(counts.len() > 1, "it was no race: {counts:?}");
            let counts: Vec<_> = counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            println!("{change}, stuck: {stuck}, {rounds} Pods: {}", counts.join(", "));
        }
    }
}

/// What happens to the first of two nodes while a Pod is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    /// It gets the image, which nobody had.
    Imported,
    /// It loses the image, and the second gets it.
    Removed,
    /// It had the image and is deleted; a moment later the second gets the image.
    Deleted,
}

/// What becomes of a Pod.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    /// Placed by its review, on a node that has the image.
    AtOnce,
    /// It waited behind the gate, and went to a node that has the image.
    AfterAGate,
    /// Placed by its review, and bound there before anybody could know better.
    Overtaken,
    /// Placed where it could not be scheduled any more; an Event says so.
    Said,
    /// The same; deleted, made again, and then on a node that has the image.
    MadeAgain,
}

/// Many rounds of one change under one policy.
#[derive(Clone, Copy)]
struct Race<'a> {
    cluster: &'a Cluster,
    change: Change,
    stuck: &'a str,
    rounds: usize,
}

impl Race<'_> {
    async fn run(self) -> anyhow::Result<BTreeMap<Outcome, usize>> {
        let namespace = self.namespace();
        self.cluster.namespace(&namespace, &opted_in(None)).await?;
        self.let_delete(&namespace).await?;
        stream::iter(0..self.rounds)
            .map(|round| self.prepare(round))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let deployments: Api<Deployment> = Api::namespaced(self.cluster.client().await?, &namespace);
        let races = stream::iter(0..self.rounds).map(|round| self.race(round, &deployments));
        races.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let what = format!("all Pods of {namespace} come out");
        until(&what, OUTCOME_LIMIT, async || self.outcomes().await).await?;
        sleep(LATE_EVENTS).await;
        let outcomes = self.outcomes().await?;
        self.clear(&namespace).await?;
        let mut counts = BTreeMap::new();
        for outcome in outcomes {
            *counts.entry(outcome).or_default() += 1;
        }
        Ok(counts)
    }

    fn namespace(self) -> String {
        format!("{:?}-{}", self.change, self.stuck).to_lowercase()
    }

    /// The controller may delete Pods here.
    async fn let_delete(self, namespace: &str) -> anyhow::Result<()> {
        let role = "--clusterrole=berth-delete-stuck";
        let account = "--serviceaccount=berth-system:berth-controller";
        let bound =
            self.cluster.kubectl(&["create", "rolebinding", "stuck", role, account, "-n", namespace], "").await?;
        ensure!(bound.status.success(), "{bound:?}");
        Ok(())
    }

    /// Two nodes of one round. In every other round the first is cordoned, so that much can happen before a binding.
    async fn prepare(self, round: usize) -> anyhow::Result<()> {
        let image = listed(round);
        let first = Node::new(&first(round)).image(&[OTHER]);
        let first = if self.change == Change::Imported { first } else { first.image(&[&image]) };
        self.cluster.add(&first).await?;
        self.cluster.add(&Node::new(&second(round)).image(&[OTHER])).await?;
        if self.change != Change::Imported && round.is_multiple_of(2) {
            let cordoned = self.cluster.kubectl(&["cordon", first.name()], "").await?;
            ensure!(cordoned.status.success(), "{cordoned:?}");
        }
        Ok(())
    }

    /// Makes the Deployment and the change at offsets that differ from round to round: in two of four rounds from the
    /// beginning, in the others from the sight of the Pod, which may not be bound yet.
    async fn race(self, round: usize, deployments: &Api<Deployment>) -> anyhow::Result<()> {
        let deployment = serde_json::from_value(deployment(round))?;
        let make = async { anyhow::Ok(deployments.create(&PostParams::default(), &deployment).await.map(drop)?) };
        let change = async {
            if round % 4 < 2 {
                sleep(Duration::from_millis(u64::try_from(round * 37 % 400)?)).await;
            } else {
                self.made(round).await?;
                sleep(Duration::from_millis(u64::try_from(round * 37 % 40)?)).await;
            }
            self.happen(round).await
        };
        tokio::try_join!(make, change).map(drop)
    }

    /// Waits for the Pod.
    async fn made(self, round: usize) -> anyhow::Result<()> {
        let pods = self.cluster.pods(&self.namespace()).await?;
        let own = ListParams::default().labels(&format!("app={}", name(round)));
        until(&format!("the Pod of {} is made", name(round)), OUTCOME_LIMIT, async || {
            ensure!(!pods.list(&own).await?.items.is_empty(), "it is not");
            Ok(())
        })
        .await
    }

    async fn happen(self, round: usize) -> anyhow::Result<()> {
        let (image, first, second) = (listed(round), first(round), second(round));
        let full: &[&[&str]] = &[&[OTHER], &[&image]];
        match self.change {
            Change::Imported => self.cluster.set_images(&first, full).await,
            Change::Removed => {
                self.cluster.set_images(&first, &[&[OTHER]]).await?;
                self.cluster.set_images(&second, full).await
            }
            Change::Deleted => {
                let nodes: Api<v1::Node> = Api::all(self.cluster.client().await?);
                nodes.delete(&first, &DeleteParams::default()).await?;
                sleep(Duration::from_millis(200)).await;
                self.cluster.set_images(&second, full).await
            }
        }
    }

    /// What became of the Pod of each round.
    async fn outcomes(self) -> anyhow::Result<Vec<Outcome>> {
        let namespace = self.namespace();
        let pods = self.cluster.pods(&namespace).await?.list(&ListParams::default()).await?;
        let pods: Vec<Value> = pods.items.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        let stuck = self.said_to_be_stuck(&namespace).await?;
        (0..self.rounds)
            .map(|round| {
                let mut own = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == name(round));
                let (Some(pod), None) = (own.next(), own.next()) else { bail!("{} has not one Pod", name(round)) };
                self.outcome(round, pod, stuck.contains(&name(round)))
            })
            .collect()
    }

    /// # Errors
    /// Nothing yet, and what it is instead; or what must not be.
    fn outcome(self, round: usize, pod: &Value, stuck: bool) -> anyhow::Result<Outcome> {
        let waited = pod["metadata"]["annotations"]["berth.dev/notes"].to_string().contains("waited until");
        let node = pod["spec"]["nodeName"].as_str();
        let best = if self.change == Change::Imported { first(round) } else { second(round) };
        match node {
            Some(node) if node == best && stuck => Ok(Outcome::MadeAgain),
            Some(node) if node == best && waited => Ok(Outcome::AfterAGate),
            Some(node) if node == best => Ok(Outcome::AtOnce),
            Some(node) if node == first(round) => Ok(Outcome::Overtaken),
            None if stuck && self.stuck == "note" => Ok(Outcome::Said),
            _ => bail!("{pod}"),
        }
    }

    /// The Deployments whose Pods are said to be stuck.
    async fn said_to_be_stuck(self, namespace: &str) -> anyhow::Result<BTreeSet<String>> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
        let events = Api::<DynamicObject>::namespaced_with(self.cluster.client().await?, namespace, &resource);
        let events = events.list(&ListParams::default()).await?.items.into_iter().map(|event| event.data);
        let stuck = events
            .filter(|event| event["reason"] == "StuckOnImage" && event["regarding"]["kind"] == "Deployment")
            .filter_map(|event| event["regarding"]["name"].as_str().map(str::to_owned));
        Ok(stuck.collect())
    }

    async fn clear(self, namespace: &str) -> anyhow::Result<()> {
        let gone = self.cluster.kubectl(&["delete", "namespace", namespace, "--wait=false"], "").await?;
        ensure!(gone.status.success(), "{gone:?}");
        let nodes: Api<v1::Node> = Api::all(self.cluster.client().await?);
        nodes.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Imported => "image imported",
            Self::Removed => "image removed, and imported elsewhere",
            Self::Deleted => "node deleted, image imported elsewhere",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AtOnce => "placed at once",
            Self::AfterAGate => "placed after a gate",
            Self::Overtaken => "bound before it was known",
            Self::Said => "stuck, said in Events",
            Self::MadeAgain => "stuck, made again and placed",
        })
    }
}

fn deployment(round: usize) -> Value {
    let labels = json!({ "app": name(round) });
    let image = format!("{}:dev", name(round));
    let container = json!({ "name": "main", "image": image, "imagePullPolicy": "Never" });
    json!({
        "metadata": { "name": name(round) },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    })
}

fn name(round: usize) -> String {
    format!("race-{round:03}")
}

/// As nodes list the image of a round.
fn listed(round: usize) -> String {
    format!("docker.io/library/{}:dev", name(round))
}

fn first(round: usize) -> String {
    format!("{}-a", name(round))
}

fn second(round: usize) -> String {
    format!("{}-b", name(round))
}

/// What every node lists: an empty list would mean that nothing is known of it.
const OTHER: &str = "docker.io/library/other:dev";
/// Rounds at the same time.
const AT_ONCE: usize = 8;
/// A stuck Pod is known as such after 5 s, and ten are deleted a second.
const OUTCOME_LIMIT: Duration = Duration::from_secs(90);
/// Events are written beside what they are about.
const LATE_EVENTS: Duration = Duration::from_secs(3);

//! What every situation does: apply a Deployment, and see what becomes of its Pods.

use std::time::{Duration, Instant};

use anyhow::ensure;
use berth_tests::{
    berth::{self, opted_in},
    image::Image,
    kubelet::Kubelet,
    outcome::{self, Outcome},
    wait::until,
};
use futures::future::try_join_all;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::stage::{Berth, Stage};

/// A namespace, and a connection that shows what is in it.
struct Namespace {
    name: String,
    deployments: Api<Deployment>,
    pods: Api<Pod>,
}

impl Stage {
    /// Applies a Deployment of two Pods in a namespace of its own, called `name`; waits for what becomes of both, and
    /// removes them. They would rather be on different nodes.
    pub(crate) async fn deploy(
        &self,
        berth: Berth,
        name: &str,
        image: &str,
        policy: Option<&str>,
    ) -> anyhow::Result<Outcome> {
        self.apply(&self.namespace(berth, name).await?, image, policy).await
    }

    /// Makes a Pod that is bound to `node` from the start, without Berth, and waits for what becomes of it.
    pub(crate) async fn pod_on(&self, node: &Kubelet, name: &str, image: &str) -> anyhow::Result<Outcome> {
        let Namespace { pods, .. } = self.namespace(Berth::Off, name).await?;
        let mut pod = template(image, Some("IfNotPresent"));
        json_patch::merge(&mut pod, &json!({ "metadata": { "name": name }, "spec": { "nodeName": node.name() } }));
        let applied = Instant::now();
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        let settled = until(&format!("{name} runs or fails"), OUTCOME_LIMIT, async || {
            outcome::of(&self.http, &pods.get(name).await?).await
        })
        .await?;
        pods.delete(name, &DeleteParams::default()).await?;
        Ok(Outcome::new(vec![settled], applied))
    }

    /// Applies one Deployment without Berth and one with it, within a second of `change`, which brings their images: one
    /// of two names where a pull of the one would disturb the other.
    pub(crate) async fn deploy_soon(
        &self,
        berth: Berth,
        name: &str,
        images: [&str; 2],
        policy: Option<&str>,
        change: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<[Outcome; 2]> {
        let names = [format!("{name}-soon-off"), format!("{name}-soon-on")];
        let off = self.namespace(Berth::Off, &names[0]);
        let (off, on) = tokio::try_join!(off, self.namespace(berth, &names[1]))?;
        change.await?;
        let changed = Instant::now();
        let outcomes = tokio::try_join!(self.apply(&off, images[0], policy), self.apply(&on, images[1], policy))?;
        Ok([outcomes.0, outcomes.1].map(|outcome| outcome.soon_after(changed)))
    }

    /// Applies one Deployment with Berth within a second of `berth load` of `build` to node A.
    pub(crate) async fn deploy_loaded(
        &self,
        berth: Berth,
        image: &str,
        policy: Option<&str>,
        build: &Image,
    ) -> anyhow::Result<Outcome> {
        let name = format!("{}-loaded", image.replace([':', '/'], "-"));
        let namespace = self.namespace(berth, &name).await?;
        berth::load(&self.nodes, build, image, Some("node-a")).await?;
        let loaded = Instant::now();
        Ok(self.apply(&namespace, image, policy).await?.soon_after(loaded))
    }

    /// A namespace for one Deployment. Made before, its making takes no time between a push and the Deployment.
    async fn namespace(&self, berth: Berth, name: &str) -> anyhow::Result<Namespace> {
        let labels = match berth {
            Berth::Off => Vec::new(),
            Berth::Dev => opted_in(Some("dev")),
            Berth::Production => opted_in(Some("production")),
        };
        let cluster = self.nodes.cluster();
        cluster.namespace(name, &labels).await?;
        let pods = cluster.pods(name).await?;
        let deployments = Api::namespaced(pods.clone().into_client(), name);
        pods.list(&ListParams::default()).await?; // so that there is a connection
        Ok(Namespace { name: name.to_owned(), deployments, pods })
    }

    async fn apply(&self, namespace: &Namespace, image: &str, policy: Option<&str>) -> anyhow::Result<Outcome> {
        let Namespace { name, deployments, pods } = namespace;
        let deployment = serde_json::from_value(deployment(image, policy))?;
        let applied = Instant::now();
        deployments.create(&PostParams::default(), &deployment).await?;
        let settled = until(&format!("both Pods of {name} run or fail"), OUTCOME_LIMIT, async || {
            let list = pods.list(&ListParams::default()).await?.items;
            ensure!(list.len() == REPLICAS, "there are {}", list.len());
            try_join_all(list.iter().map(|pod| outcome::of(&self.http, pod))).await
        })
        .await?;
        let outcome = Outcome::new(settled, applied);
        deployments.delete("app", &DeleteParams::default()).await?;
        Ok(outcome)
    }
}

fn deployment(image: &str, policy: Option<&str>) -> Value {
    json!({
        "metadata": { "name": "app" },
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": { "app": "app" } },
            "template": template(image, policy),
        },
    })
}

fn template(image: &str, policy: Option<&str>) -> Value {
    let spread = json!({
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": { "app": "app" } },
    });
    json!({
        "metadata": { "labels": { "app": "app" } },
        "spec": {
            "containers": [{ "name": "app", "image": image, "imagePullPolicy": policy }],
            "topologySpreadConstraints": [spread],
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
        },
    })
}

const REPLICAS: usize = 2;
/// A gated Pod waits for a list, which is up to 40 s late.
const OUTCOME_LIMIT: Duration = Duration::from_secs(120);

//! Pods that are created through the API server, for a try.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};

use super::{Ledger, Outcome, Wanted, Way};

/// Creates Pods for ever.
pub(super) async fn ask(pods: Api<Pod>, wanted: Wanted, ledger: Arc<Ledger>) {
    let pod = json!({
        "metadata": { "generateName": "load-" },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{ "name": "app", "image": wanted.image }],
        },
    });
    let pod: Arc<Pod> = Arc::new(serde_json::from_value(pod).unwrap());
    let (mut calls, mut ticks) = (JoinSet::new(), interval(EVERY));
    loop {
        ticks.tick().await;
        while calls.try_join_next().is_some() {}
        let (pods, pod, wanted) = (pods.clone(), pod.clone(), wanted.clone());
        let ticket = ledger.begin(Way::ApiServer);
        calls.spawn(async move {
            let outcome = timeout(LIMIT, create(&pods, &pod, &wanted)).await;
            ticket.end(outcome.unwrap_or_else(|_| Outcome::Failed("the API server says nothing for 30 s".to_owned())));
        });
    }
}

async fn create(pods: &Api<Pod>, pod: &Pod, wanted: &Wanted) -> Outcome {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&dry, pod).await {
        Ok(pod) => {
            let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
            match containers.first().and_then(|container| container.image.as_deref()) {
                Some(image) if image == wanted.pinned => Outcome::Answered,
                Some(image) if image == wanted.image => Outcome::Unchanged,
                image => Outcome::Failed(format!("admitted as {}", image.unwrap_or_default())),
            }
        }
        // Whoever is being stopped takes no calls.
        Err(kube::Error::Api(status)) if status.code == 503 || status.code == 429 => Outcome::Unheard,
        Err(kube::Error::Api(status)) => Outcome::Failed(format!("refused: {}", status.message)),
        Err(_) => Outcome::Unheard,
    }
}

const EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(30);

//! Events, as people find them: on Pods and on their top owners.

use std::time::Duration;

use anyhow::ensure;
use berth_tests::{
    berth::{Controller, opted_in},
    cluster::{Cluster, Node},
    wait::until,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{CONFIGURATION, LIMIT, OTHER, deployment, events, guarded, is_gated, never, pods, said};

const REPLICAS: u32 = 30;

#[tokio::test]
async fn a_deployment_that_waits_has_one_event_that_counts_its_pods_and_a_new_controller_repeats_none() {
    let (cluster, controller) = guarded().await;
    cluster.add(&Node::new("said").image(&[OTHER])).await.unwrap();
    cluster.namespace("said", &opted_in(None)).await.unwrap();
    cluster.apply(&deployment("said", "web", "said:dev", REPLICAS, &json!({})).to_string()).await.unwrap();
    let event = check_counts(cluster, "WaitingForImage").await;
    let words = "main: waits, since no node has said:dev: `ctr -n k8s.io images import FILE` on a node";
    assert!(event["note"].as_str().unwrap().starts_with(words) && event["type"] == "Warning", "{event}");
    let shown = cluster.kubectl(&["describe", "deployment", "web", "-n", "said"], "").await.unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("WaitingForImage") && shown.contains("no node has said:dev"), "{shown}");
    assert!(controller.status("/readyz").await.is_ok() && controller.status("/livez").await.is_ok());
    let metrics = controller.status("/metrics").await.unwrap();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().unwrap()
    };
    assert!(value("berth_gated_pods") >= f64::from(REPLICAS) && value("berth_gated_oldest_seconds") > 0.0, "{metrics}");
    assert!(value(r#"berth_events_total{outcome="written"}"#) >= f64::from(REPLICAS));

    // It knows nothing of what was said, as one that was restarted.
    let second = Controller::start(cluster, CONFIGURATION).await.unwrap();
    until("it sees all that wait", LIMIT, async || {
        let metrics = second.status("/metrics").await?;
        ensure!(!metrics.contains("\nberth_gated_pods 0\n"), "{metrics}");
        Ok(())
    })
    .await
    .unwrap();
    sleep(Duration::from_secs(6)).await; // longer than a series is held back
    check_counts(cluster, "WaitingForImage").await;
    assert!(events(cluster, "said", "ReplicaSet", "WaitingForImage").await.unwrap().is_empty());
    assert!(events(cluster, "said", "Pod", "ImageNotes").await.unwrap().is_empty(), "that they wait is said once");

    cluster.set_images("said", &[&[OTHER], &["docker.io/library/said:dev"]]).await.unwrap();
    until("all are bound", LIMIT, async || {
        let pods = pods(cluster, "said").await?;
        ensure!(pods.iter().all(|pod| !is_gated(pod) && pod["spec"]["nodeName"] == "said"));
        Ok(())
    })
    .await
    .unwrap();
    let event = check_counts(cluster, "GateLifted").await;
    assert_eq!((&event["note"], &event["type"]), (&json!("waited until said had its image"), &json!("Normal")));
}

/// Each Pod has one Event with this reason, and the Deployment one for all.
async fn check_counts(cluster: &Cluster, reason: &str) -> Value {
    until(&format!("{reason} is said of all"), LIMIT, async || {
        let on_pods = events(cluster, "said", "Pod", reason).await?;
        let on_owner = events(cluster, "said", "Deployment", reason).await?;
        ensure!(on_pods.len() == REPLICAS as usize, "{} Pods have one", on_pods.len());
        ensure!(on_owner.len() == 1 && on_owner[0]["series"]["count"] == REPLICAS, "on the owner: {on_owner:?}");
        Ok(on_owner[0].clone())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn what_a_review_noted_is_said_of_the_cron_job() {
    let (cluster, _) = guarded().await;
    cluster.add(&Node::new("cron").image(&[OTHER])).await.unwrap();
    cluster.namespace("cron", &opted_in(None)).await.unwrap();
    let mut spec = never("cron", "nightly", "nightly:dev", &json!({ "nodeName": "cron", "restartPolicy": "Never" }));
    let job = json!({ "spec": { "template": { "spec": spec["spec"].take() } } });
    let cron = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": { "name": "nightly", "namespace": "cron" },
        "spec": { "schedule": "0 0 1 1 *", "jobTemplate": job },
    });
    cluster.apply(&cron.to_string()).await.unwrap();
    let run = ["create", "job", "by-hand", "--from=cronjob/nightly", "-n", "cron"];
    let run = cluster.kubectl(&run, "").await.unwrap();
    assert!(run.status.success(), "{run:?}");
    let event = said(cluster, "cron", ("CronJob", "nightly"), "ImageNotes", "cron, its node, lacks nightly:dev").await;
    assert_eq!(event["series"], Value::Null, "one Pod, said once");
    assert!(events(cluster, "cron", "Job", "ImageNotes").await.unwrap().is_empty());
    assert_eq!(events(cluster, "cron", "Pod", "ImageNotes").await.unwrap().len(), 1);
}

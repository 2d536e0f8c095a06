//! Pods that cannot be scheduled where Berth placed them, while their image is elsewhere by now.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth::opted_in,
    cluster::{Cluster, Node},
    wait::until,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{LIMIT, OTHER, REQUIRED, deployment, guarded, hostnames, never, pods, said};

/// Longer than `stuckAfter`, and two looks.
const WHILE: Duration = Duration::from_secs(12);

/// A namespace in which the controller may delete Pods.
async fn namespace(cluster: &Cluster, name: &str, labels: &[(&str, &str)]) {
    cluster.namespace(name, labels).await.unwrap();
    let role = "--clusterrole=berth-delete-stuck";
    let account = "--serviceaccount=berth-system:berth-controller";
    let bound = cluster.kubectl(&["create", "rolebinding", "stuck", role, account, "-n", name], "").await.unwrap();
    assert!(bound.status.success(), "{bound:?}");
}

fn uids(pods: &[Value]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

async fn cordon(cluster: &Cluster, node: &str) {
    assert!(cluster.kubectl(&["cordon", node], "").await.unwrap().status.success());
}

/// Waits until all Pods of `namespace` are bound, and names their nodes.
async fn bound(cluster: &Cluster, namespace: &str, replicas: usize) -> BTreeSet<String> {
    until(&format!("the Pods in {namespace} are bound"), LIMIT, async || {
        let pods = pods(cluster, namespace).await?;
        let nodes = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned));
        let nodes: Vec<_> = nodes.collect();
        ensure!(nodes.len() == replicas && pods.len() == replicas, "{nodes:?} of {} Pods", pods.len());
        Ok(nodes.into_iter().collect())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_second_replica_beside_one_holder_waits_until_the_image_is_elsewhere() {
    let (cluster, _) = guarded().await;
    let image: &[&str] = &["docker.io/library/apart:dev"];
    cluster.add(&Node::new("apart-a").image(&[OTHER]).image(image)).await.unwrap();
    cluster.add(&Node::new("apart-b").image(&[OTHER])).await.unwrap();
    namespace(cluster, "apart", &opted_in(None)).await;
    let selector = json!({ "matchLabels": { "app": "web" } });
    let apart = json!([{ "labelSelector": selector, "topologyKey": "kubernetes.io/hostname" }]);
    let affinity = json!({ "affinity": { "podAntiAffinity": { REQUIRED: apart } } });
    cluster.apply(&deployment("apart", "web", "apart:dev", 2, &affinity).to_string()).await.unwrap();
    until("one is bound and one is not", LIMIT, async || {
        let pods = pods(cluster, "apart").await?;
        let pending = pods.iter().filter(|pod| pod["status"]["conditions"][0]["reason"] == "Unschedulable").count();
        ensure!(pending == 1 && pods.len() == 2, "{pods:?}");
        Ok(())
    })
    .await
    .unwrap();
    let before = uids(&pods(cluster, "apart").await.unwrap());
    sleep(WHILE).await;
    assert_eq!(uids(&pods(cluster, "apart").await.unwrap()), before, "nothing has changed that could help it");

    cluster.set_images("apart-b", &[&[OTHER], image]).await.unwrap();
    assert_eq!(bound(cluster, "apart", 2).await, ["apart-a".to_owned(), "apart-b".to_owned()].into());
    let after = uids(&pods(cluster, "apart").await.unwrap());
    assert_eq!(before.intersection(&after).count(), 1, "the one that runs was left alone");
    let words = "on apart-a, where it was placed, while apart-b has its image: it is deleted";
    said(cluster, "apart", ("Deployment", "web"), "StuckOnImage", words).await;
}

#[tokio::test]
async fn when_the_only_holder_dies_it_is_said_and_mended_as_soon_as_the_image_is_back() {
    let (cluster, _) = guarded().await;
    let image: &[&str] = &["docker.io/library/dies:dev"];
    cluster.add(&Node::new("dies-a").image(&[OTHER]).image(image)).await.unwrap();
    cluster.add(&Node::new("dies-b").image(&[OTHER])).await.unwrap();
    cordon(cluster, "dies-a").await;
    namespace(cluster, "dies", &opted_in(None)).await;
    cluster.apply(&deployment("dies", "web", "dies:dev", 3, &json!({})).to_string()).await.unwrap();
    cluster.apply(&never("dies", "alone", "dies:dev", &json!({})).to_string()).await.unwrap();
    let words = "only dies-a (is cordoned) can have dies:dev";
    said(cluster, "dies", ("Pod", "alone"), "StuckOnImage", words).await;
    let before = pods(cluster, "dies").await.unwrap();
    assert!(before.iter().all(|pod| hostnames(pod) == [json!(["dies-a"])]), "{before:?}");

    assert!(cluster.kubectl(&["delete", "node", "dies-a"], "").await.unwrap().status.success());
    said(cluster, "dies", ("Pod", "alone"), "StuckOnImage", "and no node has dies:dev").await;
    assert_eq!(uids(&pods(cluster, "dies").await.unwrap()), uids(&before), "deleting them would not help");

    cluster.set_images("dies-b", &[&[OTHER], image]).await.unwrap();
    until("the Deployment's Pods are made again", LIMIT, async || {
        let pods = pods(cluster, "dies").await?;
        let bound = pods.iter().filter(|pod| pod["spec"]["nodeName"] == "dies-b").count();
        ensure!(bound == 3, "{bound} are bound");
        Ok(())
    })
    .await
    .unwrap();
    said(
        cluster,
        "dies",
        ("Pod", "alone"),
        "StuckOnImage",
        "while dies-b has its image: delete it and create it again",
    )
    .await;
    let alone = cluster.pods("dies").await.unwrap().get("alone").await.unwrap();
    assert!(uids(&before).contains(&alone.metadata.uid.unwrap()), "nobody would make it again");
}

#[tokio::test]
async fn an_image_that_was_collected_before_the_pod_was_bound_is_noticed_and_without_the_right_it_is_said() {
    let (cluster, _) = guarded().await;
    let image: &[&str] = &["docker.io/library/collected:dev"];
    cluster.add(&Node::new("collected-a").image(&[OTHER]).image(image)).await.unwrap();
    cluster.add(&Node::new("collected-b").image(&[OTHER])).await.unwrap();
    cordon(cluster, "collected-a").await;
    cluster.namespace("collected", &opted_in(None)).await.unwrap();
    cluster.apply(&deployment("collected", "web", "collected:dev", 1, &json!({})).to_string()).await.unwrap();
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "once", "namespace": "collected" },
        "spec": {
            "backoffLimit": 0,
            "template": { "spec": never("", "", "collected:dev", &json!({ "restartPolicy": "Never" }))["spec"] },
        },
    });
    cluster.apply(&job.to_string()).await.unwrap();
    let before = until("both are made", LIMIT, async || {
        let pods = pods(cluster, "collected").await?;
        ensure!(pods.len() == 2 && pods.iter().all(|pod| hostnames(pod) == [json!(["collected-a"])]), "{pods:?}");
        Ok(uids(&pods))
    });
    let before = before.await.unwrap();
    cluster.set_images("collected-a", &[&[OTHER]]).await.unwrap();
    cluster.set_images("collected-b", &[&[OTHER], image]).await.unwrap();
    let words = "it is stuck and may not be deleted: bind the ClusterRole berth-delete-stuck";
    said(cluster, "collected", ("Deployment", "web"), "StuckOnImage", words).await;
    said(cluster, "collected", ("Job", "once"), "StuckOnImage", "which its Job counts as a failure").await;
    assert_eq!(uids(&pods(cluster, "collected").await.unwrap()), before);
}

/// Whatever makes them just as they were: a webhook that is not called, another configuration.
#[tokio::test]
async fn what_is_made_again_just_like_that_is_deleted_once_and_not_all_at_once() {
    const REPLICAS: usize = 40;
    let (cluster, _) = guarded().await;
    cluster.add(&Node::new("loop-b").image(&[OTHER]).image(&["docker.io/library/loop:dev"])).await.unwrap();
    namespace(cluster, "loop", &[]).await; // it did not opt in
    let expression = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["loop-gone"] });
    let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] });
    let affinity = json!({ "affinity": { "nodeAffinity": { REQUIRED: terms } } });
    let mut web = deployment("loop", "web", "loop:dev", u32::try_from(REPLICAS).unwrap(), &affinity);
    web["spec"]["template"]["metadata"]["labels"]["berth.dev/placed"] = json!("true");
    cluster.apply(&web.to_string()).await.unwrap();
    let first = until("all are made", LIMIT, async || {
        let pods = pods(cluster, "loop").await?;
        ensure!(pods.len() == REPLICAS, "there are {}", pods.len());
        Ok(uids(&pods))
    });
    let first = first.await.unwrap();
    let (mut seen, mut most) = (first.clone(), 0);
    until("all are made again", LIMIT, async || {
        let now = uids(&pods(cluster, "loop").await?);
        most = most.max(now.difference(&seen).count());
        seen.extend(now.iter().cloned());
        ensure!(now.len() == REPLICAS && now.is_disjoint(&first), "{} are as before", now.intersection(&first).count());
        Ok(())
    })
    .await
    .unwrap();
    assert!(most < REPLICAS, "{most} at once");
    let words = "its owner made it again just like that, so it is not deleted once more";
    said(cluster, "loop", ("Deployment", "web"), "StuckOnImage", words).await;
    sleep(WHILE).await;
    seen.extend(uids(&pods(cluster, "loop").await.unwrap()));
    assert_eq!(seen.len(), 2 * REPLICAS, "each was deleted once");
    let left = pods(cluster, "loop").await.unwrap();
    let said_of = left.first().context("there are Pods").unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
    said(cluster, "loop", ("Pod", &said_of), "StuckOnImage", words).await;
}

//! Two controllers at once, counted in the API server's audit log.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::ensure;
use berth_tests::{
    berth::Controller,
    cluster::{self, Cluster, Node},
    wait::until,
};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{LIMIT, OTHER, gated, hostnames, is_gated, pods};

const PODS: usize = 200;
const ANOTHER: &str = "example.com/another";
const CONFIGURATION: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";

/// An API server that writes down who wrote to Pods and Nodes.
async fn audited(folder: &TempDir) -> Cluster {
    let policy = folder.path().join("policy.yaml");
    let resources = json!([{ "group": "", "resources": ["pods", "nodes/status"] }]);
    let rules =
        json!([{ "level": "Metadata", "verbs": ["patch", "update"], "resources": resources }, { "level": "None" }]);
    fs::write(&policy, json!({ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules }).to_string())
        .unwrap();
    let flags = [
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", folder.path().join("audit.log").display()),
    ];
    let options = cluster::Options { only_api_server: true, api_server: flags.into(), ..cluster::Options::default() };
    Cluster::start_with(&options).await.unwrap()
}

/// What was answered, the newest last. It is written a moment after it is sent, and the last line may not be whole.
fn answers(folder: &TempDir) -> anyhow::Result<Vec<Value>> {
    let log = fs::read_to_string(folder.path().join("audit.log"))?;
    let lines = log.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line["stage"] == "ResponseComplete").collect())
}

/// The same, once it is written that each gate was opened.
async fn all_answers(folder: &TempDir) -> Vec<Value> {
    let all = until("the audit log has a patch for each Pod", LIMIT, async || {
        let all = answers(folder)?;
        let taken = all.iter().filter(|answer| is_berths(answer) && is_taken(answer)).count();
        ensure!(taken >= PODS, "it has {taken}");
        Ok(all)
    });
    all.await.unwrap()
}

#[tokio::test]
async fn two_controllers_open_each_gate_once_and_soon() {
    let folder = TempDir::new().unwrap();
    let cluster = audited(&folder).await;
    cluster.namespace("two", &[]).await.unwrap();
    let client = cluster.pods("two").await.unwrap();
    for number in 0..PODS {
        let mut pod = gated("two", &format!("web-{number}"), "two:dev");
        // Whoever comes second and does not look would open this one instead.
        pod["spec"]["schedulingGates"].as_array_mut().unwrap().push(json!({ "name": ANOTHER }));
        client.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    for name in ["two", "other"] {
        cluster.add(&Node::new(name).image(&[OTHER])).await.unwrap();
    }
    let controllers = [
        Controller::start(&cluster, CONFIGURATION).await.unwrap(),
        Controller::start(&cluster, CONFIGURATION).await.unwrap(),
    ];
    for controller in &controllers {
        until("both see all that wait", LIMIT, async || {
            let metrics = controller.status("/metrics").await?;
            ensure!(metrics.contains(&format!("\nberth_gated_pods {PODS}\n")), "{metrics}");
            Ok(())
        })
        .await
        .unwrap();
    }
    // Somebody else changes one of them while its gate is being opened.
    let edit = json!({ "metadata": { "annotations": { "edited": "true" } } });
    cluster.set_images("two", &[&[OTHER], &["docker.io/library/two:dev"]]).await.unwrap();
    client.patch("web-7", &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
    until("all gates are open", LIMIT, async || {
        let waiting = pods(&cluster, "two").await?.iter().filter(|pod| is_gated(pod)).count();
        ensure!(waiting == 0, "{waiting} wait");
        Ok(())
    })
    .await
    .unwrap();

    let all = all_answers(&folder).await;
    let refused = check_patches(&all);
    for pod in pods(&cluster, "two").await.unwrap() {
        assert_eq!(hostnames(&pod), [json!(["two"])], "one requirement, not two");
        assert_eq!(pod["spec"]["schedulingGates"], json!([{ "name": ANOTHER }]));
        assert_eq!(pod["metadata"]["labels"], json!({ "berth.dev/placed": "true" }));
        assert_eq!(pod["metadata"]["annotations"]["berth.dev/notes"], "waited until two had its image");
    }
    let took = latencies(&all);
    println!("{PODS} gates after the node's report: {took:?}; {refused} patches came second and were refused");
    // The promise is a second for a gate, by a clock of its own in the tests of the rules; this machine has other work.
    assert!(took[0] < Duration::from_secs(5) && took[2] < Duration::from_secs(20), "{took:?}");
}

/// Each Pod was changed once by Berth; how often the other controller came second.
fn check_patches(all: &[Value]) -> usize {
    let mut outcomes = BTreeMap::<String, Vec<u64>>::new();
    for answer in all.iter().filter(|answer| is_berths(answer)) {
        let name = answer["objectRef"]["name"].as_str().unwrap().to_owned();
        outcomes.entry(name).or_default().push(answer["responseStatus"]["code"].as_u64().unwrap());
    }
    assert_eq!(outcomes.len(), PODS);
    for (name, codes) in &outcomes {
        assert_eq!(codes.iter().filter(|code| **code == 200).count(), 1, "{name} was changed once: {codes:?}");
        assert!(codes.iter().all(|code| [200, 409, 422].contains(code)), "{name}: {codes:?}");
    }
    outcomes.values().flatten().filter(|code| **code != 200).count()
}

/// A controller wrote to a Pod.
fn is_berths(answer: &Value) -> bool {
    let user = answer["user"]["username"].as_str().unwrap();
    user == "system:serviceaccount:berth-system:berth-controller" && answer["objectRef"]["resource"] == "pods"
}

fn is_taken(answer: &Value) -> bool {
    answer["responseStatus"]["code"] == 200
}

/// The time from the answer to the node's report to those of the first patch that was taken, the middle one and the last.
fn latencies(all: &[Value]) -> [Duration; 3] {
    let at =
        |answer: &Value| answer["stageTimestamp"].as_str().unwrap().parse::<k8s_openapi::jiff::Timestamp>().unwrap();
    let reports = all.iter().filter(|answer| answer["objectRef"]["subresource"] == "status");
    let report = reports.map(at).max().unwrap();
    let taken = all.iter().filter(|answer| is_berths(answer) && is_taken(answer)).map(at);
    let mut taken: Vec<_> = taken.map(|at| Duration::try_from(at.duration_since(report)).unwrap_or_default()).collect();
    taken.sort_unstable();
    [taken[0], taken[taken.len() / 2], taken[taken.len() - 1]]
}

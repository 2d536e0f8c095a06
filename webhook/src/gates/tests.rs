mod server;

use serde_json::{Value, json};

use self::server::{cluster, node, pod};
use super::*;

const APP: &str = "docker.io/library/app:dev";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_gate_opens_within_a_second_of_the_report_and_the_node_is_required() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web", 60 * SECOND).await, "no node has the image yet");
    assert_eq!(server.state().answers, [] as [u16; 0]);

    server.state().put("nodes", node("b", APP));
    assert!(!server.is_gated_after("web", SECOND).await, "node b has the image");
    let web = server.pod("web");
    assert_eq!(web["metadata"]["labels"], json!({ "app": "web", "berth.dev/placed": "true" }));
    assert_eq!(web["metadata"]["annotations"]["berth.dev/notes"], "waited until b had its image");
    assert_eq!(web["spec"]["schedulingGates"], json!([{ "name": "other" }]));
    let terms = &web["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let wanted = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["b"] });
    assert_eq!(*terms, json!({ "nodeSelectorTerms": [{ "matchExpressions": [wanted] }] }));
    assert_eq!(server.state().answers, [200], "one patch does it all");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_changed_is_looked_at_afresh() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web", SECOND).await);
    server.state().touched.push("web".into());
    server.state().put("nodes", node("a", APP));
    assert!(!server.is_gated_after("web", SECOND).await);
    assert_eq!(server.state().answers, [422, 200]);
}

#[tokio::test(start_paused = true)]
async fn two_controllers_are_harmless() {
    let pods: Vec<Value> = (0..40).map(|number| pod(&format!("web-{number}"))).collect();
    let (server, mut tasks) = (cluster(&pods), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web-0", SECOND).await);
    server.state().put("nodes", node("a", APP));
    for number in 0..40 {
        assert!(!server.is_gated_after(&format!("web-{number}"), SECOND).await, "{number}");
    }
    let state = server.state();
    assert_eq!(state.taken.len(), 40, "each gate is opened once");
    assert!(state.answers.iter().all(|answer| [200, 422].contains(answer)), "{:?}", state.answers);
}

#[tokio::test(start_paused = true)]
async fn a_gate_whose_label_was_lost_is_found_within_five_minutes() {
    let mut lost = pod("web");
    lost["metadata"]["labels"] = json!({ "app": "web" });
    let (server, mut tasks) = (cluster(&[]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    server.state().put("pods", lost);
    server.state().put("nodes", node("a", APP));
    assert!(server.is_gated_after("web", 60 * SECOND).await, "nobody watches it");
    assert!(!server.is_gated_after("web", 300 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_gone_or_going_are_left_alone() {
    let mut going = pod("going");
    going["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    let (server, mut tasks) = (cluster(&[going, pod("gone")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    server.state().delete("gone");
    server.state().put("nodes", node("a", APP));
    time::sleep(60 * SECOND).await;
    assert_eq!(server.state().answers, [] as [u16; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_image_is_edited_to_one_that_a_registry_may_have_goes() {
    let mut found = pod("web");
    found["metadata"]["annotations"] = json!({ "berth.dev/local-images": "app:dev" });
    found["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
    let (server, mut tasks) = (cluster(&[found]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web", 60 * SECOND).await);
    let mut edited = server.pod("web");
    edited["spec"]["containers"][0]["image"] = json!("nginx:1.27"); // the API allows no other edit of a container
    server.state().put("pods", edited);
    assert!(!server.is_gated_after("web", SECOND).await);
    assert!(server.pod("web")["spec"].get("affinity").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_it_waits_for_is_said_once_and_again_when_that_changes_or_is_forgotten() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    let lacks = "WaitingForImage: main: waits, since no node has app:dev: `ctr -n k8s.io images import FILE` on a node \
                 or `berth load app:dev --via COMMAND`";
    assert_eq!(server.state().said, [lacks]);
    time::sleep(600 * SECOND).await;
    assert_eq!(server.state().said.len(), 1);

    let mut tainted = node("b", APP);
    tainted["spec"]["taints"] = json!([{ "key": "team", "value": "a", "effect": "NoSchedule" }]);
    server.state().put("nodes", tainted);
    time::sleep(31 * SECOND).await;
    assert!(server.state().said[1].contains("no node that it can use has app:dev (b has the taint team)"));
    time::sleep(3500 * SECOND).await;
    assert_eq!(server.state().said.len(), 2);
    time::sleep(600 * SECOND).await;
    assert_eq!(server.state().said.len(), 3, "the API server has forgotten it by now");

    server.state().put("nodes", node("a", APP));
    assert!(!server.is_gated_after("web", SECOND).await);
    assert_eq!(server.state().said[3], "GateLifted: waited until nodes had its image");
}

/// A list that cannot tell may be one that is not filled yet, or one that never will say more.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_lists_that_cannot_tell() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    let mut joined = node("c", APP);
    joined["status"]["images"] = json!([]);
    server.state().put("nodes", joined.clone());
    assert!(server.is_gated_after("web", 60 * SECOND).await, "its list may come");
    server.state().put("nodes", node("c", "docker.io/library/other:1"));
    assert!(server.is_gated_after("web", 300 * SECOND).await, "it does not have the image");
    server.state().put("nodes", joined);
    assert!(server.is_gated_after("web", 100 * SECOND).await, "from the beginning");
    assert!(!server.is_gated_after("web", 30 * SECOND).await, "a new Pod would be admitted");
    let terms =
        &server.pod("web")["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"], json!(["c"]));
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_is_refused_is_tried_ever_more_seldom_and_at_once_when_the_pod_changes() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    server.state().refuses = true;
    server.state().put("nodes", node("a", APP));
    assert!(server.is_gated_after("web", 3600 * SECOND).await);
    let tries = server.state().answers.len();
    assert!((10..25).contains(&tries), "{tries} in an hour");
    server.state().refuses = false;
    let web = server.pod("web");
    server.state().put("pods", web);
    assert!(!server.is_gated_after("web", SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn one_pod_that_cannot_get_its_label_back_holds_up_no_other() {
    let lost = |name: &str| {
        let mut lost = pod(name);
        lost["metadata"]["labels"] = json!({ "app": name });
        lost
    };
    let (server, mut tasks) = (cluster(&[]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    server.state().put("nodes", node("a", APP));
    for name in ["a", "b"] {
        server.state().put("pods", lost(name));
    }
    server.state().lost.push("a".into());
    assert!(!server.is_gated_after("b", 300 * SECOND).await);
}

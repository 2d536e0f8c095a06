use serde_json::{Value, json};

use super::*;
use crate::{
    admission::stranded::Outlook,
    config::{
        self,
        Stuck::{Delete, Note},
    },
};

/// A Pod that was placed on `node`, by an owner of this kind.
fn placed(kind: (&str, &str), node: &str, created: &str, unschedulable: Option<&str>) -> Placed {
    let expression = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
    let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] });
    let owner = json!({ "apiVersion": kind.0, "kind": kind.1, "name": "web", "uid": "u", "controller": true });
    let condition = unschedulable.map(|since| {
        json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since })
    });
    let object = json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "1", "resourceVersion": "7", "creationTimestamp": created,
            "ownerReferences": if kind.1.is_empty() { Value::Null } else { json!([owner]) },
        },
        "spec": { "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": terms } } },
        "status": { "conditions": condition.into_iter().collect::<Vec<_>>() },
    });
    Placed::of(&serde_json::from_value(object).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const REPLICA_SET: (&str, &str) = ("apps/v1", "ReplicaSet");
const NOON: &str = "2026-11-21T12:00:00Z";
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_pod_is_overdue_when_it_was_seen_unschedulable_for_long_enough() {
    let start = Instant::now().into_std();
    let mut pod = placed(REPLICA_SET, "a", NOON, Some(NOON));
    assert!(!pod.is_overdue(LIMIT, start));
    assert!(!pod.is_overdue(LIMIT, start + Duration::from_secs(119)));
    assert!(pod.is_overdue(LIMIT, start + LIMIT));
    // What is known outlives news of the Pod, but not of its condition.
    let mut same = placed(REPLICA_SET, "a", NOON, Some(NOON)).after(Some(pod.clone()));
    assert!(same.is_overdue(LIMIT, start + LIMIT));
    let mut later = placed(REPLICA_SET, "a", NOON, Some("2026-11-21T12:30:00Z")).after(Some(pod));
    assert!(!later.is_overdue(LIMIT, start + LIMIT));
    let mut never = placed(REPLICA_SET, "a", NOON, None);
    assert!(!never.is_overdue(LIMIT, start));
    assert!(!never.is_overdue(LIMIT, start + 100 * LIMIT));
}

/// What was gated for an hour has a condition that is an hour old when the scheduler looks at it for the first time.
#[test]
fn a_pod_that_waited_is_not_overdue_at_once() {
    let hour = 30 * LIMIT;
    let start = Instant::now().into_std();
    let mut gated = placed(REPLICA_SET, "a", NOON, None);
    assert!(!gated.is_overdue(LIMIT, start));
    let mut lifted = placed(REPLICA_SET, "a", NOON, Some(NOON)).after(Some(gated));
    assert!(!lifted.is_overdue(LIMIT, start + hour));
    assert!(!lifted.is_overdue(LIMIT, start + hour + LIMIT / 2));
    assert!(lifted.is_overdue(LIMIT, start + hour + LIMIT));
    let mut after_a_restart = placed(REPLICA_SET, "a", NOON, Some(NOON));
    assert!(!after_a_restart.is_overdue(LIMIT, start + hour));
}

#[test]
fn only_what_is_made_again_for_nothing_is_deleted() {
    let elsewhere = Outlook::Elsewhere(vec!["b".into()]);
    let remedy = |kind, outlook: &Outlook, wish| {
        let mut pod = placed(kind, "a", NOON, Some(NOON));
        let remedy = pod.remedy(outlook, wish, &Rounds::default());
        assert_eq!(pod.is_doomed(), remedy == Remedy::Delete);
        remedy
    };
    for kind in [REPLICA_SET, ("apps/v1", "StatefulSet"), ("v1", "ReplicationController")] {
        assert_eq!(remedy(kind, &elsewhere, Delete), Remedy::Delete, "{kind:?}");
        assert_eq!(remedy(kind, &elsewhere, Note), Remedy::ByHand, "{kind:?}");
        assert_eq!(remedy(kind, &Outlook::Nowhere("gone".into()), Delete), Remedy::Load, "{kind:?}");
    }
    assert_eq!(remedy(("batch/v1", "Job"), &elsewhere, Delete), Remedy::Job);
    assert_eq!(remedy(("postgresql.cnpg.io/v1", "Cluster"), &elsewhere, Delete), Remedy::Alone);
    assert_eq!(remedy(("", ""), &elsewhere, Delete), Remedy::Alone);
}

#[test]
fn one_that_was_made_again_just_like_that_is_not_deleted_again() {
    let elsewhere = Outlook::Elsewhere(vec!["b".into()]);
    let mut rounds = Rounds::default();
    let remedy = |node: &str, created: &str, rounds: &Rounds| {
        placed(REPLICA_SET, node, created, Some(created)).remedy(&elsewhere, config::Stuck::Delete, rounds)
    };
    let (first, deleted) = (placed(REPLICA_SET, "a", NOON, Some(NOON)), at("2026-11-21T12:05:00.7Z"));
    rounds.record(&first, deleted);
    assert_eq!(remedy("a", NOON, &rounds), Remedy::Delete, "a sibling from before");
    assert_eq!(remedy("a", "2026-11-21T12:05:00Z", &rounds), Remedy::Tried, "made in the same second");
    assert_eq!(remedy("a", "2026-11-21T12:20:00Z", &rounds), Remedy::Tried);
    assert_eq!(remedy("b", "2026-11-21T12:20:00Z", &rounds), Remedy::Delete, "it was placed elsewhere");
    rounds.record(&first, at("2026-11-21T12:30:00Z"));
    assert_eq!(remedy("a", "2026-11-21T12:20:00Z", &rounds), Remedy::Tried, "the first deletion counts");
    rounds.forget(at("2026-11-21T13:05:00Z"));
    assert_eq!(remedy("a", "2026-11-21T13:04:00Z", &rounds), Remedy::Tried);
    rounds.forget(at("2026-11-21T13:05:01Z"));
    assert_eq!(remedy("a", "2026-11-21T13:04:00Z", &rounds), Remedy::Delete);
}

#[test]
fn what_another_controller_deleted_is_remembered_and_what_was_bound_is_not() {
    let elsewhere = Outlook::Elsewhere(vec!["b".into()]);
    for (spec, want) in [(json!({}), Remedy::Tried), (json!({ "nodeName": "a" }), Remedy::Delete)] {
        let mut state = State::default();
        let mut pod = placed(REPLICA_SET, "a", NOON, Some(NOON));
        pod.remedy(&elsewhere, config::Stuck::Delete, &state.rounds);
        state.placed.insert("1".into(), pod);
        state.gone(&serde_json::from_value(json!({ "metadata": { "uid": "1" }, "spec": spec })).unwrap());
        let later = (Timestamp::now() + Duration::from_secs(60)).to_string();
        let mut again = placed(REPLICA_SET, "a", &later, Some(&later));
        assert_eq!(again.remedy(&elsewhere, config::Stuck::Delete, &state.rounds), want);
    }
}

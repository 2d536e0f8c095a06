use std::time::Instant;

use super::*;
use crate::{
    config::Config,
    nodes::{Index, Node, Now},
};

const OTHER: &str = "registry.k8s.io/pause:3.10";
const APP: &str = "docker.io/library/app:dev";

/// A node and what is said of it: `app` where it lists the image, `down`, `cordoned`, `empty` where it lists nothing.
fn node(name: &str, says: &str) -> Node {
    let images = [Some(OTHER), says.contains("app").then_some(APP)].into_iter().flatten();
    let images = images.filter(|_| !says.contains("empty")).map(|image| json!({ "names": [image] }));
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": { "unschedulable": says.contains("cordoned") },
        "status": {
            "conditions": [{ "type": "Ready", "status": if says.contains("down") { "False" } else { "True" } }],
            "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4" },
            "images": images.collect::<Vec<_>>(),
        },
    }))
    .unwrap()
}

fn hostname(operator: &str, names: &[&str]) -> Value {
    json!({ "key": "kubernetes.io/hostname", "operator": operator, "values": names })
}

fn pod(terms: &Value) -> Value {
    let affinity = json!({ "nodeAffinity": { REQUIRED: { "nodeSelectorTerms": terms } } });
    let containers = json!([{ "name": "main", "image": "app:dev", "imagePullPolicy": "Never" }]);
    json!({ "metadata": {}, "spec": { "affinity": affinity, "containers": containers } })
}

/// The outlook of `pod`, which was placed.
fn outlook_of(mut pod: Value, index: &Index) -> Option<Outlook> {
    gate(&mut pod).unwrap();
    let held = pod.to_string();
    let requirement = unplaced(&mut pod).unwrap();
    let free = pod.to_string();
    let (held, free) = (serde_json::from_str(&held).unwrap(), serde_json::from_str(&free).unwrap());
    let config = Config::default();
    let scene = Scene { config: &config, own_namespace: "berth-system", index, now: Instant::now() };
    outlook(Stranded { held: &held, free: &free, requirement: &requirement }, "shop", scene)
}

/// The outlook of a Pod that was placed on `hostnames`, in words.
#[track_caller]
fn check_on(hostnames: &[&str], nodes: &[(&str, &str)], want: &str) {
    let index = Index::from_nodes(nodes.iter().map(|(name, says)| node(name, says)), 50, Now::read());
    let words = match outlook_of(pod(&json!([{ "matchExpressions": [hostname("In", hostnames)] }])), &index) {
        None => "as it was".to_owned(),
        Some(Outlook::Elsewhere(nodes)) => format!("on {}", nodes.join(" ")),
        Some(Outlook::Nowhere(why)) => why.split(": ").next().unwrap().to_owned(),
    };
    assert_eq!(words, want, "{nodes:?}");
}

#[test]
fn what_has_become_of_a_pod_that_was_placed_on_a() {
    #[track_caller]
    fn check(nodes: &[(&str, &str)], want: &str) {
        check_on(&["a"], nodes, want);
    }
    // Nothing has changed: there is no room on a, or another Pod must not be there.
    check(&[("a", "app"), ("b", "")], "as it was");
    check(&[("a", "app"), ("b", "empty")], "as it was");
    // Its node died or was cordoned, and no other one has the image.
    check(&[("a", "app down"), ("b", "")], "only a (is not ready) can have app:dev; elsewhere");
    check(&[("a", "app cordoned"), ("b", "")], "only a (is cordoned) can have app:dev; elsewhere");
    check(&[("b", "")], "no node has app:dev");
    // The image was collected.
    check(&[("a", ""), ("b", "")], "no node has app:dev");
    // The image came elsewhere, to a node that can be used at once.
    check(&[("a", "app"), ("b", "app")], "on b");
    check(&[("a", ""), ("b", "app")], "on b");
    check(&[("a", "app down"), ("b", "app"), ("c", "app")], "on b c");
    check(&[("b", "app"), ("c", "app"), ("d", "app"), ("e", "app")], "on b c d");
    check(&[("a", "app"), ("b", "app cordoned")], "as it was");
    check(&[("b", "app down")], "only b (is not ready) can have app:dev; elsewhere");
    check(&[], "as it was");
}

/// A list that cannot tell is no reason to move a Pod, and none to be silent: where it may go the image is not.
#[test]
fn a_node_that_cannot_tell_does_not_hide_that_the_image_is_gone() {
    let lost = "no node that it can use has app:dev";
    check_on(&["a"], &[("a", ""), ("b", "empty")], lost);
    check_on(&["a"], &[("b", "empty")], lost);
    check_on(&["a"], &[("a", "app down"), ("b", "empty")], "only a (is not ready) can have app:dev; elsewhere");
    // It may go to the one that cannot tell.
    check_on(&["a", "b"], &[("a", ""), ("b", "empty")], "as it was");
    check_on(&["a", "b"], &[("a", "app down"), ("b", "empty")], "as it was");
    check_on(&["a"], &[("a", "empty")], "as it was");
    check_on(&["a"], &[("a", ""), ("b", "app"), ("c", "empty")], "on b");
}

/// The requirement that is found in `terms`, and the terms that are left.
#[track_caller]
fn check_terms(terms: &Value, want: Option<(&Requirement, &Value)>) {
    let mut pod = pod(terms);
    let found = unplaced(&mut pod);
    let left = pod.pointer(TERMS).cloned().unwrap_or(Value::Null);
    assert_eq!(found.as_ref().map(|found| (found, &left)), want, "{terms}");
}

#[test]
fn what_berth_appended_is_told_from_what_people_wrote() {
    let within = |names: &[&str]| Requirement::In(names.iter().map(|name| (*name).to_owned()).collect());
    let a = || hostname("In", &["a"]);
    let zone = json!({ "key": "zone", "operator": "In", "values": ["z"] });
    let term = |expressions: &[&Value]| json!({ "matchExpressions": expressions });
    check_terms(&json!([term(&[&a()])]), Some((&within(&["a"]), &Value::Null)));
    check_terms(&json!([term(&[&zone, &a()])]), Some((&within(&["a"]), &json!([term(&[&zone])]))));
    let both = json!([term(&[&zone, &a()]), {}, term(&[&zone, &zone, &a()])]);
    check_terms(&both, Some((&within(&["a"]), &json!([term(&[&zone]), {}, term(&[&zone, &zone])]))));
    // The user's own comes first; one that was narrower already stays as it is.
    let (wide, users) = (hostname("In", &["a", "b"]), hostname("In", &["a", "b", "c"]));
    check_terms(&json!([term(&[&users, &wide])]), Some((&within(&["a", "b"]), &json!([term(&[&users])]))));
    let narrow = json!([term(&[&a()]), term(&[&zone, &wide])]);
    check_terms(&narrow, Some((&within(&["a", "b"]), &json!([term(&[&a()]), term(&[&zone])]))));
    let not = hostname("NotIn", &["a"]);
    check_terms(&json!([term(&[&not])]), Some((&Requirement::NotIn(vec!["a".into()]), &Value::Null)));
    // Nothing that Berth wrote.
    check_terms(&json!([term(&[&zone])]), None);
    check_terms(&json!([term(&[&a()]), term(&[&zone])]), None);
    check_terms(&json!([term(&[&a()]), term(&[&hostname("In", &["b"])])]), None);
    let fields = json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["a"] }] }]);
    check_terms(&fields, None);
}

/// Only a node that lists all that the Pod needs is a reason to move it.
#[test]
fn a_part_of_what_is_needed_is_nothing() {
    let mut pod = pod(&json!([{ "matchExpressions": [hostname("In", &["a"])] }]));
    let other = json!({ "name": "other", "image": "other:1", "imagePullPolicy": "Never" });
    pod["spec"]["containers"].as_array_mut().unwrap().push(other);
    let other = "docker.io/library/other:1";
    let outlook = |b: &[&str]| {
        let with = |name, images: &[&str]| {
            let mut node = json!({ "metadata": { "name": name } });
            node["metadata"]["labels"] = json!({ "kubernetes.io/hostname": name });
            let images: Vec<_> = images.iter().map(|image| json!({ "names": [image] })).collect();
            node["status"] = json!({
                "conditions": [{ "type": "Ready", "status": "True" }],
                "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4" },
                "images": images,
            });
            serde_json::from_value(node).unwrap()
        };
        let index = Index::from_nodes([with("a", &[APP, other]), with("b", b)], 50, Now::read());
        outlook_of(pod.clone(), &index)
    };
    assert_eq!(outlook(&[OTHER, APP]), None);
    assert_eq!(outlook(&[OTHER, other]), None);
    assert_eq!(outlook(&[OTHER, APP, other]), Some(Outlook::Elsewhere(vec!["b".into()])));
}

//! Pods whose own affinity names their nodes: nothing is added, and what is in doubt is said all the same.

use super::*;

/// A Pod that may go only to nodes of these hostnames, by its own affinity.
fn to(hostnames: &[&str], nodes: Vec<Value>) -> Case {
    let term = json!({ "matchExpressions": [{ "key": HOSTNAME, "operator": "In", "values": hostnames }] });
    let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
    Case { spec: json!({ "affinity": { "nodeAffinity": required } }), ..case(nodes) }
}

/// The same wish, in other words.
fn selecting(hostname: &str, nodes: Vec<Value>) -> Case {
    Case { spec: json!({ "nodeSelector": { HOSTNAME: hostname } }), ..case(nodes) }
}

#[test]
fn what_is_in_doubt_is_said_however_the_node_is_named() {
    let down = |node| with(node, &json!({ "status": { "conditions": [] } }));
    let load = "elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    for (a, note) in [
        (cordoned(node("a", &[APP])), format!("main: only a (is cordoned) can have app:dev; {load}")),
        (down(node("a", &[APP])), format!("main: only a (is not ready) can have app:dev; {load}")),
        (contested("a"), "main: a lists app:dev, but may refuse it: its content was pulled by another name".to_owned()),
        (unknown("a"), "main: no node is known to have app:dev, but one node may".to_owned()),
    ] {
        let nodes = || vec![a.clone(), node("b", &[]), node("c", &[])];
        to(&["a"], nodes()).check(&[&note]);
        selecting("a", nodes()).check(&[&note]);
    }
    let nodes = || vec![node("a", &[APP]), node("b", &[])];
    to(&["a"], nodes()).check(&[]);
    // Another holder can take it.
    to(&["a", "c"], vec![cordoned(node("a", &[APP])), node("b", &[]), node("c", &[APP])]).check(&[]);
}

/// What is held to the newest build may not be told in a second review that it is not the newest.
#[test]
fn of_the_newest_nothing_is_told_to_a_pod_that_is_held_already() {
    let newer =
        with(cordoned(node("b", &[APP])), &json!({ "status": { "images": [{ "names": [APP], "sizeBytes": 9 }] } }));
    let nodes = || vec![node("a", &[APP]), node("b", &[APP]), node("c", &[])];
    let newest = |case| Case { history: vec![(60, newer.clone())], newest: Newest::Require, ..case };
    let note = "main: only b (is cordoned) can have the newest app:dev; elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    newest(case(nodes())).check(&["in b", note]);
    newest(to(&["b"], nodes())).check(&[]);
}

/// Of those that can be named, all are down: so it is said at once.
#[test]
fn what_is_left_is_what_is_spoken_of() {
    let nameless = with(node("a", &[APP]), &json!({ "metadata": { "labels": { "kubernetes.io/hostname": null } } }));
    let nodes = vec![nameless, cordoned(node("b", &[APP])), node("c", &[])];
    let load = "elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    Case { strategy: Strategy::Strict, ..case(nodes) }.check(&[
        "in b",
        &format!("main: only b (is cordoned) can have app:dev; {load}"),
        "main: node a cannot be named: give it the label kubernetes.io/hostname",
    ]);
}

//! Clusters with more nodes than a Pod can name.

use std::fmt::Write as _;

use super::*;

#[test]
fn many_holders_are_said_by_the_few_that_are_not() {
    let holders = (0..300).map(|number| node(&format!("n{number:03}"), &[APP]));
    case(holders.chain([node("x", &[]), tainted(node("y", &[]))]).collect()).check(&["not in x"]);
}

#[test]
fn too_many_nodes_are_cut_by_zone_with_a_note() {
    let zone =
        |node, zone: &str| with(node, &json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": zone } } }));
    let east = (0..150).map(|number| zone(node(&format!("e{number:03}"), &[APP]), "east"));
    let west = (0..150).map(|number| zone(node(&format!("w{number:03}"), &[APP]), "west"));
    let without = (0..150).map(|number| node(&format!("x{number:03}"), &[]));
    let case = case(east.chain(west).chain(without).collect());
    let mut want = "in".to_owned();
    for letter in ['e', 'w'] {
        (0..50).for_each(|number| write!(want, " {letter}{number:03}").unwrap());
    }
    case.check(&[&want, "main: 300 nodes may have app:dev: held to 100 of them, from all zones"]);
}

#[test]
fn a_guess_is_not_cut() {
    let guesses = (0..150).map(|number| unknown(&format!("u{number:03}")));
    let without = (0..150).map(|number| node(&format!("x{number:03}"), &[]));
    let nodes: Vec<_> = guesses.chain(without).collect();
    let guess = "main: no node is known to have app:dev, but 150 nodes may";
    case(nodes.clone()).check(&[
        guess,
        "main: not placed, since the nodes that may have it are too many to name: it may start where app:dev is missing",
    ]);
    let waits =
        "main: waits, since the nodes that may have it are too many to name: it cannot be held to where app:dev is";
    Case { spec: gated(), ..case(nodes) }.check(&["gate", guess, waits]);
}

/// Held to the nodes that can be named it could never be where its image is.
#[test]
fn the_only_holder_is_not_left_out_where_it_cannot_be_named() {
    let nameless = with(node("a", &[APP]), &json!({ "metadata": { "labels": { "kubernetes.io/hostname": null } } }));
    let without = (0..150).map(|number| node(&format!("x{number:03}"), &[]));
    case([nameless, unknown("u")].into_iter().chain(without).collect()).check(&[
        "main: not placed, since node a has no label kubernetes.io/hostname: it may start where app:dev is missing",
    ]);
}

#[test]
fn the_patch_is_small_whatever_the_user_wrote() {
    let long = |number: usize| format!("{number:03}{}", "x".repeat(60));
    let nodes: Vec<Value> =
        (0..400).map(|number| node(&long(number), if number < 200 { &[APP] } else { &[] })).collect();
    for terms in [1, 2, 7, 20, 30, 40, 200] {
        let term = json!({ "matchExpressions": [{ "key": "gpu", "operator": "DoesNotExist" }] });
        let spec = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": vec![term; terms],
        } } } });
        let case = Case { spec, ..case(nodes.clone()) };
        let (pod, placement) = (case.pod(), case.place(&case.pod()));
        let text = pod.to_string();
        let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &placement);
        let bytes = serde_json::to_string(&operations).unwrap().len();
        assert!(bytes < 12 << 10, "{bytes} bytes for {terms} terms");
        let room = terms <= 20;
        assert_eq!(placement.required.is_some(), room, "{terms} terms");
        assert!(room || words(&placement)[1].contains("too many terms"), "{:?}", words(&placement));
        let mut gated = pod;
        gated["spec"]["schedulingGates"] = json!([{ "name": GATE }]);
        let waiting = case.place(&gated);
        assert_eq!((waiting.gate, waiting.held), (!room, room), "{terms} terms");
    }
}

#[test]
fn a_pod_that_only_a_few_of_many_holders_can_take_runs_there() {
    let gpu = |node| with(node, &json!({ "metadata": { "labels": { "gpu": "yes" } } }));
    let spec = json!({ "nodeSelector": { "gpu": "yes" } });
    let plain = || (0..2_980).map(|number| node(&format!("n{number:04}"), &[APP]));
    let few = (0..20).map(|number| gpu(node(&format!("z{number:02}"), &[APP])));
    let mut want = "in".to_owned();
    (0..20).for_each(|number| write!(want, " z{number:02}").unwrap());
    let without = gpu(node("zz", &[]));
    Case { spec: spec.clone(), ..case(plain().chain(few).chain([without]).collect()) }.check(&[&want]);
    // The same where the twenty only may have it, behind more nodes than are looked at: nothing is made worse.
    let guesses = (0..20).map(|number| gpu(unknown(&format!("z{number:02}"))));
    let many = (0..2_980).map(|number| unknown(&format!("n{number:04}")));
    let case = Case { spec, ..case(many.chain(guesses).chain([gpu(node("zz", &[]))]).collect()) };
    case.check(&["not in zz", "main: no node is known to have app:dev, but 3000 nodes may"]);
}

//! Pods that ask for devices, which nodes need not list.

use super::*;

/// As if the Pod asked for a device of this name.
fn asking(device: &str, nodes: Vec<Value>) -> Case {
    let containers = json!([{ "name": "main", "resources": { "limits": { device: 1 } } }]);
    Case { spec: json!({ "containers": containers }), ..case(nodes) }
}

fn with_gpu(node: Value) -> Value {
    with(node, &json!({ "status": { "allocatable": { "nvidia.com/gpu": "1" } } }))
}

#[test]
fn a_list_without_the_device_is_no_reason_to_wait() {
    let class = "deviceclass.resource.kubernetes.io/gpu";
    asking(class, vec![node("a", &[APP]), node("b", &[])]).check(&["in a"]);
    let load = "can have app:dev; elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    let note = format!("main: only a (lists no nvidia.com/gpu) {load}");
    let case = asking("nvidia.com/gpu", vec![node("a", &[APP]), node("b", &[])]);
    case.check(&["in a", &note]);
    let placement = case.place(&case.pod());
    assert!(!placement.notes[0].attention, "it may well run");
    assert!(!placement.held, "who waits for a node that lists both waits on for a while");
}

#[test]
fn nodes_that_list_the_device_are_as_good_as_ever() {
    asking("nvidia.com/gpu", vec![node("a", &[APP]), with_gpu(node("b", &[APP])), node("c", &[])]).check(&["in a b"]);
    let case = asking("nvidia.com/gpu", vec![with_gpu(node("a", &[APP])), with_gpu(node("b", &[]))]);
    case.check(&["in a"]);
    assert!(case.place(&case.pod()).held);
    // One that lists too few will not have more.
    let two = json!([{ "name": "main", "resources": { "limits": { "nvidia.com/gpu": 2 } } }]);
    let load = "`kind load docker-image app:dev` or `berth load app:dev`";
    let note =
        format!("main: waits, since no node that it can use has app:dev (a has too little nvidia.com/gpu): {load}");
    Case { spec: json!({ "containers": two }), ..case }.check(&["gate", &note]);
}

/// Of more nodes than a Pod can name, those are named that list the device.
#[test]
fn the_few_that_list_the_device_are_not_cut() {
    let many = (0..200).map(|number| node(&format!("n{number:03}"), &[APP]));
    let case = asking("nvidia.com/gpu", many.chain([with_gpu(node("z", &[APP])), node("none", &[])]).collect());
    let placement = case.place(&case.pod());
    assert!(matches!(&placement.required, Some(Requirement::NotIn(names)) if names == &["none"]), "{placement:?}");
    let strict = Case { strategy: Strategy::Strict, ..case };
    let placement = strict.place(&strict.pod());
    assert!(
        matches!(&placement.required, Some(Requirement::In(names)) if names.contains(&"z".to_owned())),
        "{placement:?}"
    );
}

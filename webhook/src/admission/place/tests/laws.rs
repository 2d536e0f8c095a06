//! What holds for any cluster and any Pod.

use proptest::{collection::vec, prelude::*, sample::select, strategy::Strategy};

use super::*;
use crate::admission::fits::{Fit, Needs};

/// A node by what it has, in any state.
fn any_node() -> impl Strategy<Value = Value> {
    let states = [json!({}), json!({ "spec": { "unschedulable": true } }), json!({ "status": { "conditions": [] } })];
    let taint = json!({ "spec": { "taints": [{ "key": "team", "effect": "NoSchedule" }] } });
    let labels = [json!({}), json!({ "metadata": { "labels": { "kubernetes.io/hostname": null } } })];
    let state = select([&states[..], &[taint]].concat());
    let (kind, disk) =
        (select(vec!["imported", "pulled", "contested", "told", "unknown", "absent"]), select(vec!["ssd", "hdd"]));
    (kind, state, select(labels.to_vec()), disk).prop_map(|(kind, state, label, disk)| {
        let node = match kind {
            "imported" => node("x", &[APP]),
            "pulled" => pulled("x"),
            "contested" => contested("x"),
            "told" => told(node("x", &[]), 10),
            "unknown" => unknown("x"),
            _ => node("x", &[]),
        };
        with(with(with(node, &json!({ "metadata": { "labels": { "disk": disk } } })), &state), &label)
    })
}

fn any_cluster() -> impl Strategy<Value = Vec<Value>> {
    vec(any_node(), 1..7).prop_map(|nodes| {
        let named = nodes.into_iter().enumerate().map(|(number, node)| {
            let name = format!("n{number}");
            let labelled = node["metadata"]["labels"].get("kubernetes.io/hostname").is_some();
            let labels = if labelled { json!({ "kubernetes.io/hostname": name }) } else { json!({}) };
            with(node, &json!({ "metadata": { "name": name, "labels": labels } }))
        });
        named.collect()
    })
}

fn any_spec() -> impl Strategy<Value = Value> {
    let disk = |value: &str| json!({ "matchExpressions": [{ "key": "disk", "operator": "In", "values": [value] }] });
    let host = |values: Value| json!({ "matchExpressions": [{ "key": HOSTNAME, "operator": "In", "values": values }] });
    let field = json!({ "matchFields": [{ "key": "metadata.name", "operator": "NotIn", "values": ["n0"] }] });
    let terms = vec![json!({}), disk("ssd"), disk("hdd"), host(json!(["n0", "n1"])), host(json!(["n2"])), field];
    (vec(select(terms), 0..4), any::<bool>()).prop_map(|(terms, selects)| {
        let selector = if selects { json!({ "disk": "ssd" }) } else { json!({}) };
        let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
        let affinity = if terms.is_empty() { Value::Null } else { json!({ "nodeAffinity": required }) };
        json!({ "nodeSelector": selector, "affinity": affinity })
    })
}

/// The nodes of `index` that the Pod can use, now or later.
fn usable<'a>(index: &'a Index, pod: &Value) -> Vec<&'a str> {
    let text = pod.to_string();
    let pod = serde_json::from_str(&text).unwrap();
    let needs = Needs::of(&pod).unwrap();
    index.nodes().filter(|node| !matches!(needs.fit(*node), Fit::Never(_))).map(|node| node.name()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pod_goes_only_where_its_image_can_be_and_is_never_stuck_by_berth(
        nodes in any_cluster(), spec in any_spec(), policy in select(vec![PullPolicy::Never, PullPolicy::IfNotPresent]),
        strategy in select(vec![config::Strategy::Prefer, config::Strategy::Strict]),
    ) {
        let wanted = vec![Wanted { policy, ..wanted("app:dev", true) }];
        let case = Case { spec, strategy, wanted: wanted.clone(), ..case(nodes) };
        let mut pod = case.pod();
        let placement = case.place(&pod);
        let parsed = case.nodes.iter().map(|node| serde_json::from_value::<Node>(node.clone()).unwrap());
        let index = Index::from_nodes(parsed, 50, Now::read());
        let inventory = Inventory::of(&index, &[&wanted[0]], Instant::now());
        let kind = |name: &str| inventory.kind(index.get(name).unwrap());

        let before = usable(&index, &pod);
        let text = pod.to_string();
        let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &placement);
        json_patch::patch(&mut pod, &operations).unwrap();
        let after = usable(&index, &pod);

        let can_have = before.iter().any(|name| kind(name) != inventory::Kind::Absent);
        prop_assert_eq!(placement.gate, !can_have, "it waits just where no node can have the image");
        prop_assert!(placement.gate || !after.is_empty(), "no node is left of {:?}", before);
        let nameless = before.iter().any(|name| index.get(name).unwrap().hostname().is_none());
        if !placement.gate && !nameless {
            prop_assert!(after.iter().all(|name| kind(name) != inventory::Kind::Absent), "{:?} by {:?}", after, placement);
            let holders = |names: &[&str]| names.iter().filter(|name| kind(name).is_holder()).count();
            prop_assert_eq!(holders(&before), holders(&after), "a holder was left out: {:?}", placement);
        }
        prop_assert!(changes_nothing(&pod, &case.place(&pod)), "again: {:?}", case.place(&pod));
    }
}

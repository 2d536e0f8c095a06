//! What holds for any cluster and any Pod.

use proptest::{collection::vec, prelude::*, sample::select, strategy::Strategy};

use super::*;
use crate::{
    admission::fits::{Fit, Needs},
    config::{LabelOperator, LabelRequirement, Selector},
    nodes::Likeness,
};

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

/// What the watch sees: another build on some of the nodes, or one that was loaded.
fn any_history(nodes: Vec<Value>) -> impl Strategy<Value = (Vec<Value>, Vec<(u64, Value)>)> {
    let change = (any::<prop::sample::Index>(), 1..4_u8, any::<bool>(), 1..60_u64);
    vec(change, 0..4).prop_map(move |changes| {
        let mut second = 0;
        let history = changes.into_iter().map(|(which, size, loaded, later)| {
            second += later;
            let mut changed = which.get(&nodes).clone();
            match changed["status"]["images"].get_mut(0) {
                Some(image) if !loaded => image["sizeBytes"] = json!(size),
                _ => changed = told(changed, 0),
            }
            (second, changed)
        });
        let history = history.collect();
        (nodes.clone(), history)
    })
}

/// Who provides the app: nobody, or nodes with a kind of disk.
fn any_providers() -> impl Strategy<Value = Vec<Provided>> {
    let provider = |disk: &str| {
        let requirement =
            LabelRequirement { key: "disk".into(), operator: LabelOperator::In, values: vec![disk.to_owned()] };
        let nodes = Selector { requirements: vec![requirement] };
        Provided { images: vec!["app".parse().unwrap()], nodes }
    };
    let (ssd, hdd, tape) = (provider("ssd"), provider("hdd"), provider("tape"));
    select(vec![vec![], vec![], vec![ssd.clone()], vec![tape.clone()], vec![tape, ssd], vec![hdd]])
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
    let field =
        |operator: &str| json!({ "matchFields": [{ "key": "metadata.name", "operator": operator, "values": ["n0"] }] });
    let hosts = [host(json!(["n0", "n1"])), host(json!(["n2"]))];
    let terms = [&[json!({}), disk("ssd"), disk("hdd"), field("In"), field("NotIn")], &hosts[..]].concat();
    (vec(select(terms), 0..4), any::<bool>()).prop_map(|(terms, selects)| {
        let selector = if selects { json!({ "disk": "ssd" }) } else { json!({}) };
        let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
        let affinity = if terms.is_empty() { Value::Null } else { json!({ "nodeAffinity": required }) };
        json!({ "nodeSelector": selector, "affinity": affinity })
    })
}

/// Whether all terms of the Pod name the one node: then nothing is added.
fn is_bound(spec: &Value) -> bool {
    let terms = spec.pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
    let mut open = terms.and_then(Value::as_array).into_iter().flatten().filter(|term| **term != json!({})).peekable();
    open.peek().is_some() && open.all(|term| term["matchFields"][0]["operator"] == "In")
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
        (nodes, history) in any_cluster().prop_flat_map(any_history), provided in any_providers(),
        newest in select(vec![Newest::Off, Newest::Prefer, Newest::Require]), spec in any_spec(), policy in select(vec![PullPolicy::Never, PullPolicy::IfNotPresent]),
        strategy in select(vec![config::Strategy::Prefer, config::Strategy::Strict]),
    ) {
        let wanted = vec![Wanted { policy, ..wanted("app:dev", true) }];
        let bound = is_bound(&spec);
        let case = Case { spec, strategy, wanted: wanted.clone(), history, provided, newest, ..case(nodes) };
        let mut pod = case.pod();
        let placement = case.place(&pod);
        prop_assert!(!bound || placement.changes_nothing(), "{:?}", placement);
        prop_assume!(!bound);
        let ((index, now), config) = (case.index(), case.config());
        let inventory = Inventory::of(&index, &[&wanted[0]], &config, now);
        let kind = |name: &str| inventory.kind(index.get(name).unwrap());

        let before = usable(&index, &pod);
        let text = pod.to_string();
        let by_labels = {
            let pod = serde_json::from_str(&text).unwrap();
            !inventory.provided.of_all(&Needs::of(&pod).unwrap(), &index).is_empty()
        };
        let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &placement);
        json_patch::patch(&mut pod, &operations).unwrap();
        let after = usable(&index, &pod);

        let can_have = by_labels || before.iter().any(|name| kind(name) != inventory::Kind::Absent);
        prop_assert_eq!(placement.gate, !can_have, "it waits just where no node can have the image");
        prop_assert!(placement.gate || by_labels || !after.is_empty(), "no node is left of {:?}", before);
        prop_assert!(after.iter().all(|name| before.contains(name)), "wider than the user's: {:?}", placement);
        let nameless = before.iter().any(|name| index.get(name).unwrap().hostname().is_none());
        if !placement.gate && !nameless {
            prop_assert!(after.iter().all(|name| kind(name) != inventory::Kind::Absent), "{:?} by {:?}", after, placement);
            let sightings = index.sightings(&wanted[0].image);
            let of = |name: &str| sightings.iter().find(|sighting| sighting.node.name() == name);
            // Another build, later, is reason enough; whatever else looks like that one stays with it.
            let older = |name: &str| {
                let newer = |other: &&str| {
                    of(other).zip(of(name)).is_some_and(|(kept, left)| {
                        kept.compare(left, now) == Likeness::Different && kept.is_after(left)
                    })
                };
                newest == Newest::Require && after.iter().any(newer)
            };
            let left_out = before.iter().find(|name| kind(name).is_holder() && !after.contains(name) && !older(name));
            prop_assert_eq!(left_out, None, "a holder was left out: {:?}", placement);
        }
        let again = case.place(&pod);
        prop_assert!(changes_nothing(&pod, &again), "again: {:?}", again);
        let said = |note: &Note| placement.notes.contains(note);
        prop_assert!(placement.changes_nothing() || again.notes.iter().all(said), "{:?} after {:?}", again, placement);
    }
}

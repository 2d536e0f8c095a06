use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

/// Applies what `placement` asks for to a Pod with `spec`.
fn applied(spec: &Value, placement: &Placement) -> Value {
    let mut pod = json!({ "spec": spec });
    let text = pod.to_string();
    let operations = operations(&serde_json::from_str(&text).unwrap(), placement);
    assert!(operations.iter().all(|operation| matches!(operation, PatchOperation::Add(_))), "{operations:?}");
    json_patch::patch(&mut pod, &operations).unwrap();
    pod["spec"].take()
}

fn required(names: &[&str]) -> Placement {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Placement { required: Some(Requirement::In(names)), ..Placement::default() }
}

#[track_caller]
fn check(affinity: &Value, want: &Value) {
    let spec = applied(&json!({ "affinity": affinity }), &required(&["a"]));
    assert_eq!(spec["affinity"], *want, "from {affinity}");
}

/// `nodeAffinity` with these required terms.
fn terms(terms: &Value) -> Value {
    json!({ "nodeAffinity": { REQUIRED: { "nodeSelectorTerms": terms } } })
}

fn ours() -> Value {
    json!({ "key": HOSTNAME, "operator": "In", "values": ["a"] })
}

#[test]
fn parents_are_created_where_they_are_missing_or_null() {
    let alone = terms(&json!([{ "matchExpressions": [ours()] }]));
    assert_eq!(applied(&json!({}), &required(&["a"]))["affinity"], alone);
    check(&Value::Null, &alone);
    check(&json!({}), &alone);
    check(&json!({ "nodeAffinity": null }), &alone);
    check(&json!({ "nodeAffinity": {} }), &alone);
    check(&json!({ "nodeAffinity": { REQUIRED: null } }), &alone);
    check(
        &json!({ "podAffinity": { "x": 1 }, "nodeAffinity": { PREFERRED: [] } }),
        &json!({
            "podAffinity": { "x": 1 },
            "nodeAffinity": { PREFERRED: [], REQUIRED: { "nodeSelectorTerms": [{ "matchExpressions": [ours()] }] } },
        }),
    );
}

#[test]
fn every_term_is_narrowed_and_an_empty_one_left_alone() {
    let gpu = json!({ "key": "gpu", "operator": "Exists" });
    let field = json!([{ "key": "metadata.name", "operator": "NotIn", "values": ["z"] }]);
    check(
        &terms(&json!([
            { "matchExpressions": [gpu] },
            {},
            { "matchFields": field },
            { "matchFields": field, "matchExpressions": null },
            { "matchFields": field, "matchExpressions": [] },
        ])),
        &terms(&json!([
            { "matchExpressions": [gpu, ours()] },
            {},
            { "matchFields": field, "matchExpressions": [ours()] },
            { "matchFields": field, "matchExpressions": [ours()] },
            { "matchFields": field, "matchExpressions": [ours()] },
        ])),
    );
    check(&terms(&json!([])), &terms(&json!([])));
    check(&terms(&Value::Null), &terms(&Value::Null));
}

#[test]
fn a_term_that_says_it_already_stays() {
    let narrower = terms(&json!([{ "matchExpressions": [{ "key": HOSTNAME, "operator": "In", "values": ["a"] }] }]));
    let spec = applied(&json!({ "affinity": narrower }), &required(&["a", "b"]));
    assert_eq!(spec["affinity"], narrower);
}

#[test]
fn a_preference_is_appended_with_full_weight() {
    let placement = Placement { preferred: vec!["a".into()], ..Placement::default() };
    let term = json!({ "weight": 100, "preference": { "matchExpressions": [ours()] } });
    let users = json!({ "weight": 1, "preference": {} });
    let preferred = |list: Value| json!({ "affinity": { "nodeAffinity": { PREFERRED: list } } });
    assert_eq!(applied(&json!({}), &placement), preferred(json!([term])));
    assert_eq!(applied(&preferred(Value::Null), &placement), preferred(json!([term])));
    assert_eq!(applied(&preferred(json!([users])), &placement), preferred(json!([users, term])));
    assert_eq!(applied(&preferred(json!([users, term])), &placement), preferred(json!([users, term])));
}

#[test]
fn a_gate_is_appended_once() {
    let placement = Placement { gate: true, ..Placement::default() };
    let gates = |list: Value| json!({ "schedulingGates": list });
    let (ours, other) = (json!({ "name": GATE }), json!({ "name": "other" }));
    assert_eq!(applied(&json!({}), &placement), gates(json!([ours])));
    assert_eq!(applied(&gates(Value::Null), &placement), gates(json!([ours])));
    assert_eq!(applied(&gates(json!([other])), &placement), gates(json!([other, ours])));
    assert_eq!(applied(&gates(json!([ours, other])), &placement), gates(json!([ours, other])));
}

#[test]
fn pods_are_labelled_by_what_is_to_be_watched() {
    let labels = |affinity: &Value, placement: &Placement| {
        let text = json!({ "spec": { "affinity": affinity } }).to_string();
        let labels = labels(&serde_json::from_str(&text).unwrap(), placement).collect::<Vec<_>>();
        labels.join(" ")
    };
    let gate = Placement { gate: true, ..Placement::default() };
    let prefer = Placement { preferred: vec!["a".to_owned()], ..Placement::default() };
    assert_eq!(labels(&Value::Null, &gate), "berth.dev/gated");
    assert_eq!(labels(&Value::Null, &required(&["a"])), "berth.dev/placed");
    assert_eq!(labels(&json!("unreadable"), &required(&["a"])), "");
    assert_eq!(labels(&Value::Null, &prefer), "");
}

/// A node of the brute-force evaluation: a name and labels.
#[derive(Clone, Debug)]
struct Node {
    name: &'static str,
    hostname: Option<&'static str>,
    disk: Option<&'static str>,
}

/// Whether `node` matches `selector`, written from the API's documentation and not from the code under test.
fn matches(selector: &Value, node: &Node) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let requirement = |requirement: &Value, actual: Option<&str>| {
        let values = list(&requirement["values"]);
        let one_of = actual.is_some_and(|actual| values.contains(&json!(actual)));
        match requirement["operator"].as_str() {
            Some("In") => one_of,
            Some("NotIn") => !values.is_empty() && !one_of,
            Some("Exists") => values.is_empty() && actual.is_some(),
            Some("DoesNotExist") => values.is_empty() && actual.is_none(),
            _ => false,
        }
    };
    let label = |key: &Value| if key == HOSTNAME { node.hostname } else { node.disk };
    list(&selector["nodeSelectorTerms"]).iter().any(|term| {
        let (labels, fields) = (list(&term["matchExpressions"]), list(&term["matchFields"]));
        (labels.len() + fields.len() > 0)
            && labels.iter().all(|one| requirement(one, label(&one["key"])))
            && fields.iter().all(|one| requirement(one, Some(node.name)))
    })
}

fn names() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "c", "d"])
}

fn requirements() -> impl Strategy<Value = Value> {
    let label =
        (select(vec![HOSTNAME, "disk"]), select(vec!["In", "NotIn", "Exists", "DoesNotExist"]), vec(names(), 0..3));
    label.prop_map(|(key, operator, values)| json!({ "key": key, "operator": operator, "values": values }))
}

fn user_terms() -> impl Strategy<Value = Value> {
    let field = (select(vec!["In", "NotIn"]), names())
        .prop_map(|(operator, name)| json!({ "key": "metadata.name", "operator": operator, "values": [name] }));
    let term = (option::of(vec(requirements(), 0..3)), option::of(vec(field, 0..2)));
    term.prop_map(|(expressions, fields)| json!({ "matchExpressions": expressions, "matchFields": fields }))
}

fn selectors() -> impl Strategy<Value = Value> {
    let selector = vec(user_terms(), 0..4).prop_map(|terms| json!({ "nodeSelectorTerms": terms }));
    prop_oneof![Just(Value::Null), selector]
}

fn placements() -> impl Strategy<Value = Placement> {
    let labels = || vec(names().prop_map(str::to_owned), 1..4);
    let required = prop_oneof![labels().prop_map(Requirement::In), labels().prop_map(Requirement::NotIn)];
    (required, vec(names().prop_map(str::to_owned), 0..3), any::<bool>()).prop_map(|(required, preferred, gate)| {
        Placement { required: Some(required), preferred, gate, ..Placement::default() }
    })
}

fn nodes() -> impl Strategy<Value = Node> {
    (names(), option::of(names()), option::of(names())).prop_map(|(name, hostname, disk)| Node { name, hostname, disk })
}

proptest! {
    #[test]
    fn the_merged_affinity_is_the_intersection(
        selector in selectors(), placement in placements(), nodes in vec(nodes(), 1..12),
    ) {
        let before = json!({ "affinity": { "nodeAffinity": { REQUIRED: selector } } });
        let after = applied(&before, &placement);
        let merged = &after["affinity"]["nodeAffinity"][REQUIRED];
        for node in &nodes {
            let allowed = match placement.required.as_ref().unwrap() {
                Requirement::In(names) => node.hostname.is_some_and(|name| names.iter().any(|other| other == name)),
                Requirement::NotIn(names) => !node.hostname.is_some_and(|name| names.iter().any(|other| other == name)),
            };
            let users = selector.is_null() || matches(&selector, node);
            prop_assert_eq!(matches(merged, node), users && allowed, "{:?} by {}", node, merged);
        }
        prop_assert_eq!(applied(&after, &placement), after.clone(), "the second time changes something");
        // What the API server accepts for a gated Pod: the same terms, each with the same requirements in front.
        if let Some(terms) = selector["nodeSelectorTerms"].as_array().filter(|terms| !terms.is_empty()) {
            let merged = merged["nodeSelectorTerms"].as_array().unwrap();
            prop_assert_eq!(terms.len(), merged.len());
            for (term, merged) in terms.iter().zip(merged) {
                let list = |value: &Value| value["matchExpressions"].as_array().cloned().unwrap_or_default();
                prop_assert!(list(merged).starts_with(&list(term)));
                prop_assert_eq!(&term["matchFields"], &merged["matchFields"]);
            }
        }
    }
}

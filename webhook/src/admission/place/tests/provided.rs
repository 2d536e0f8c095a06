//! `place.provided`: images that are baked into machine images.

use super::*;
use crate::config::{Config, Selector};

/// Providers of the app and of others, as in a file.
fn providers(lines: &[&str]) -> Vec<Provided> {
    let list = lines.join(", ");
    let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\nplace: {{provided: [{list}]}}\n");
    let (config, _): (Config, _) = crate::config::parse(&text, "c.yaml").unwrap();
    config.place.provided
}

const BAKED: &str = "{images: [app], nodes: {matchLabels: {pool: baked}}}";

fn labelled(node: Value, key: &str, value: &str) -> Value {
    with(node, &json!({ "metadata": { "labels": { key: value } } }))
}

fn baked(name: &str) -> Value {
    labelled(node(name, &[]), "pool", "baked")
}

fn provided(nodes: Vec<Value>) -> Case {
    Case { provided: providers(&[BAKED]), ..case(nodes) }
}

#[test]
fn such_nodes_are_required_by_their_labels_existing_or_not() {
    provided(vec![baked("a"), node("b", &[])]).check(&["with pool=baked"]);
    provided(vec![node("b", &[])]).check(&["with pool=baked"]); // an autoscaler may add one
    provided(vec![baked("a")]).check(&["with pool=baked"]); // or one of another pool
    provided(vec![cordoned(baked("a")), node("b", &[])]).check(&["with pool=baked"]);
    let deny = Case { on_missing: OnMissing::Deny, ..provided(vec![node("b", &[])]) };
    deny.check(&["with pool=baked"]);
    let other = Case { wanted: vec![wanted("other:dev", true)], ..provided(vec![baked("a")]) };
    other.check(&[
        "gate",
        "main: waits, since no node has other:dev: `kind load docker-image other:dev` or `berth load other:dev`",
    ]);
}

#[test]
fn nodes_that_list_it_stand_beside_them() {
    provided(vec![baked("a"), node("b", &[APP]), node("c", &[])]).check(&["in b", "with pool=baked"]);
    provided(vec![baked("a"), node("b", &[APP])]).check(&["in b", "with pool=baked"]);
    let listed = labelled(node("a", &[APP]), "pool", "baked");
    provided(vec![listed, node("b", &[])]).check(&["with pool=baked"]);
    // Contested ones only where there is nothing better.
    provided(vec![baked("a"), contested("b"), node("c", &[])]).check(&["with pool=baked"]);
    // Unknown ones may hold it, unless people say that lists are complete.
    let nodes = || vec![baked("a"), unknown("u"), node("c", &[])];
    provided(nodes()).check(&["in u", "with pool=baked", "prefer pool=baked"]);
    Case { strategy: Strategy::Strict, ..provided(nodes()) }.check(&["with pool=baked"]);
    let more = vec![baked("a"), unknown("u"), node("b", &[APP]), node("c", &[])];
    provided(more).check(&["in b u", "with pool=baked", "prefer b", "prefer pool=baked"]);
}

#[test]
fn every_selector_is_kept_to_the_letter() {
    let selector = "{images: ['*/app:*'], nodes: {matchLabels: {zone: a, pool: baked}, matchExpressions: [\
                    {key: gpu, operator: NotIn, values: [old, older]}, {key: spot, operator: DoesNotExist}, \
                    {key: arch, operator: In, values: [amd64, arm64]}, {key: disk, operator: Exists}]}}";
    let case = Case { provided: providers(&[selector]), ..case(vec![node("b", &[])]) };
    case.check(&["with zone=a,pool=baked,gpu notin (old,older),!spot,arch in (amd64,arm64),disk"]);
    let mut pod = case.pod();
    let text = pod.to_string();
    let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &case.place(&pod));
    json_patch::patch(&mut pod, &operations).unwrap();
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    assert_eq!(
        pod.pointer(path).unwrap(),
        &json!([{ "matchExpressions": [
            { "key": "zone", "operator": "In", "values": ["a"] }, { "key": "pool", "operator": "In", "values": ["baked"] },
            { "key": "gpu", "operator": "NotIn", "values": ["old", "older"] }, { "key": "spot", "operator": "DoesNotExist" },
            { "key": "arch", "operator": "In", "values": ["amd64", "arm64"] }, { "key": "disk", "operator": "Exists" },
        ] }])
    );
}

#[test]
fn several_images_need_the_labels_of_each() {
    let both = || vec![wanted("app:dev", true), wanted("db:dev", true)];
    let db = "{images: [db], nodes: {matchLabels: {data: fast}}}";
    let case_of = |lines: &[&str], nodes| Case { provided: providers(lines), wanted: both(), ..case(nodes) };
    case_of(&[BAKED, db], vec![baked("a"), node("b", &[])]).check(&["with pool=baked,data=fast"]);
    // One is provided, the other listed: then its names decide.
    let listed = "docker.io/library/db:dev";
    let has_both = labelled(node("a", &[listed]), "pool", "baked");
    case_of(&[BAKED], vec![has_both, node("b", &[listed]), baked("c")]).check(&["in a"]);
    let load = "`kind load docker-image app:dev db:dev` or `berth load IMAGE`";
    let apart = format!("waits, since no node has both app:dev and db:dev (b has db:dev): {load}");
    case_of(&[BAKED], vec![node("b", &[listed]), baked("c")]).check(&["gate", &apart]);
    // Two kinds of node provide one image.
    let second = "{images: ['app:*'], nodes: {matchLabels: {pool: golden}}}";
    case_of(&[BAKED, second, db], vec![node("b", &[])])
        .check(&["with pool=baked,data=fast", "with pool=golden,data=fast"]);
}

#[test]
fn labels_that_the_pod_excludes_are_no_choice() {
    let selector = json!({ "nodeSelector": { "pool": "other" } });
    let load = "main: waits, since no node has app:dev: `kind load docker-image app:dev` or `berth load app:dev`";
    Case { spec: selector.clone(), ..provided(vec![baked("a"), node("b", &[])]) }.check(&["gate", load]);
    let other = labelled(node("b", &[APP]), "pool", "other");
    Case { spec: selector, ..provided(vec![baked("a"), other, labelled(node("c", &[]), "pool", "other")]) }
        .check(&["in b"]);
}

/// A Pod that asks for a disk of one kind or another.
fn disks() -> Value {
    let term =
        |disk: &str| json!({ "matchExpressions": [{ "key": "disk", "operator": "In", "values": [disk] }], "x": 7 });
    json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [term("ssd"), term("hdd"), {}],
    } } } })
}

#[test]
fn each_of_the_users_terms_is_narrowed_in_either_way() {
    let disk = |node| labelled(node, "disk", "ssd");
    let case = Case { spec: disks(), ..provided(vec![disk(node("b", &[APP])), disk(node("c", &[]))]) };
    case.check(&["in b", "with pool=baked"]);
    let mut pod = case.pod();
    let text = pod.to_string();
    let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &case.place(&pod));
    json_patch::patch(&mut pod, &operations).unwrap();
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let disk = |disk: &str| json!({ "key": "disk", "operator": "In", "values": [disk] });
    let host = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["b"] });
    let pool = json!({ "key": "pool", "operator": "In", "values": ["baked"] });
    assert_eq!(
        pod.pointer(path).unwrap(),
        &json!([
            { "matchExpressions": [disk("ssd"), host], "x": 7 }, { "matchExpressions": [disk("hdd"), host], "x": 7 }, {},
            { "matchExpressions": [disk("ssd"), pool], "x": 7 }, { "matchExpressions": [disk("hdd"), pool], "x": 7 },
        ])
    );
}

#[test]
fn a_gated_pod_gets_no_new_terms() {
    let gated = |spec: Value| with(spec, &json!({ "schedulingGates": [{ "name": GATE }] }));
    let disk = |node| labelled(node, "disk", "ssd");
    let nodes = || vec![disk(node("b", &[APP])), disk(node("c", &[]))];
    Case { spec: gated(disks()), ..provided(nodes()) }.check(&["in b"]);
    Case { spec: gated(disks()), ..provided(vec![disk(node("c", &[]))]) }.check(&["with pool=baked"]);
    Case { spec: gated(json!({})), ..provided(nodes()) }.check(&["in b", "with pool=baked"]);
}

#[test]
fn the_patch_stays_small() {
    let term = json!({ "matchExpressions": [{ "key": "gpu", "operator": "DoesNotExist" }] });
    for terms in [1, 10, 30, 200] {
        let spec = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": vec![term.clone(); terms],
        } } } });
        let case = Case { spec, ..provided(vec![node("b", &[APP]), node("c", &[])]) };
        let (pod, placement) = (case.pod(), case.place(&case.pod()));
        let text = pod.to_string();
        let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &placement);
        let bytes = serde_json::to_string(&operations).unwrap().len();
        assert!(bytes < 12 << 10, "{bytes} bytes for {terms} terms");
        assert_eq!(placement.requires(), terms <= 30, "{terms} terms: {:?}", words(&placement));
    }
}

#[test]
fn builds_of_what_is_provided_are_not_compared() {
    let sized = |name: &str, size: u32| {
        let mut node = node(name, &[APP]);
        node["status"]["images"][0]["sizeBytes"] = json!(size);
        node
    };
    let nodes = vec![baked("a"), sized("b", 5), sized("c", 5), node("d", &[])];
    Case { newest: Newest::Require, history: vec![(60, sized("c", 6))], ..provided(nodes) }
        .check(&["in b c", "with pool=baked"]);
}

#[test]
fn a_pattern_stands_for_names_in_every_spelling() {
    let selectors = |pattern: &str, image: &str| -> Vec<Selector> {
        let provided = providers(&[&format!("{{images: ['{pattern}'], nodes: {{matchLabels: {{pool: baked}}}}}}")]);
        let place = config::Place { provided, ..Config::default().place };
        place.providers(&image.parse().unwrap()).cloned().collect()
    };
    for (pattern, image) in
        [("registry.k8s.io/*", "registry.k8s.io/a/b:1"), ("app", "app:7"), ("docker.io/library/app:dev", "app:dev")]
    {
        assert_eq!(selectors(pattern, image).len(), 1, "{pattern} {image}");
    }
    assert!(selectors("registry.k8s.io/*", "registry.k8s.io.evil.com/a:1").is_empty());
}

mod devices;
mod faults;
mod large;
mod laws;
mod newest;
mod outage;
mod own;
mod provided;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    admission::patch::affinity,
    config::{Config, Newest, OnMissing, Provided, Strategy},
    nodes::{Node, Now},
};

/// A case: a cluster and what is asked of it. What is not set is as most people have it.
struct Case {
    /// As they were in the first list.
    nodes: Vec<Value>,
    /// When that was; one moment, however often and slowly a case is looked at.
    start: Now,
    /// What the watch saw since, and when: seconds after that.
    history: Vec<(u64, Value)>,
    spec: Value,
    owner: &'static str,
    wanted: Vec<Wanted>,
    strategy: Strategy,
    on_missing: OnMissing,
    controller_alive: bool,
    may_gate: bool,
    age: Duration,
    newest: Newest,
    provided: Vec<Provided>,
}

fn case(nodes: Vec<Value>) -> Case {
    Case {
        nodes,
        start: Now::read(),
        history: Vec::new(),
        spec: json!({}),
        owner: "ReplicaSet",
        wanted: vec![wanted("app:dev", true)],
        strategy: Strategy::Prefer,
        on_missing: OnMissing::Wait,
        controller_alive: true,
        may_gate: true,
        age: Duration::ZERO,
        newest: Newest::Off,
        provided: Vec::new(),
    }
}

impl Case {
    fn pod(&self) -> Value {
        json!({ "metadata": { "ownerReferences": [{ "kind": self.owner }] }, "spec": self.spec })
    }

    /// What is known of the nodes, and when.
    fn index(&self) -> (Index, Instant) {
        let start = self.start;
        let node = |node: &Value| serde_json::from_value::<Node>(node.clone()).unwrap();
        let mut index = Index::from_nodes(self.nodes.iter().map(node), 50, start);
        let at = |second| {
            let time = Duration::from_secs(second);
            Now { instant: start.instant + time, wall: start.wall + time }
        };
        for (second, changed) in &self.history {
            index.hear(at(*second));
            index.apply(&node(changed));
        }
        (index, at(self.history.last().map_or(0, |(second, _)| *second)).instant)
    }

    fn config(&self) -> config::Place {
        config::Place {
            strategy: self.strategy,
            on_missing: self.on_missing,
            newest: self.newest,
            provided: self.provided.clone(),
            ..Config::default().place
        }
    }

    fn place(&self, pod: &Value) -> Placement {
        let (index, now) = self.index();
        let config = self.config();
        let Self { controller_alive, may_gate, .. } = *self;
        let circumstances = Circumstances { controller_alive, may_gate, now: now + self.age };
        let text = pod.to_string();
        place(&serde_json::from_str(&text).unwrap(), &self.wanted, Some(&index), &config, circumstances)
    }

    /// What is decided, in words; and that deciding again on the result changes nothing.
    #[track_caller]
    fn check(&self, want: &[&str]) {
        let mut pod = self.pod();
        let placement = self.place(&pod);
        assert_eq!(words(&placement), want);
        let text = pod.to_string();
        let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &placement);
        json_patch::patch(&mut pod, &operations).unwrap();
        let again = self.place(&pod);
        assert!(placement.deny.is_some() || changes_nothing(&pod, &again), "again: {again:?}");
        assert!(
            placement.changes_nothing() || again.notes.iter().all(|note| placement.notes.contains(note)),
            "{again:?}"
        );
    }
}

/// Whether `placement` leaves `pod` as it is: one that is gated goes on waiting.
fn changes_nothing(pod: &Value, placement: &Placement) -> bool {
    let text = pod.to_string();
    placement.deny.is_none() && affinity::operations(&serde_json::from_str(&text).unwrap(), placement).is_empty()
}

fn words(placement: &Placement) -> Vec<String> {
    let Placement { required, provided, preferred, preferred_labels, gate, deny, notes, held: _ } = placement;
    let required = required.iter().map(|required| match required {
        Requirement::In(names) => format!("in {}", names.join(" ")),
        Requirement::NotIn(names) => format!("not in {}", names.join(" ")),
    });
    let provided = provided.iter().map(|set| format!("with {set}"));
    let labels = preferred_labels.iter().map(|set| format!("prefer {set}"));
    let preferred = (!preferred.is_empty()).then(|| format!("prefer {}", preferred.join(" ")));
    let deny = deny.iter().map(|reason| format!("deny: {reason}"));
    let notes = notes.iter().map(ToString::to_string);
    required
        .chain(provided)
        .chain(preferred)
        .chain(labels)
        .chain(gate.then(|| "gate".to_owned()))
        .chain(deny)
        .chain(notes)
        .collect()
}

fn wanted(image: &str, required: bool) -> Wanted {
    Wanted { about: "main".into(), image: image.parse().unwrap(), policy: PullPolicy::IfNotPresent, required }
}

fn never(image: &str) -> Wanted {
    Wanted { policy: PullPolicy::Never, ..wanted(image, true) }
}

/// A ready node with a whole list: something else, and `images` (names of one entry joined by a space).
fn node(name: &str, images: &[&str]) -> Value {
    let entry = |names: &&str| json!({ "names": names.split(' ').collect::<Vec<_>>() });
    let pause = json!({ "names": ["registry.k8s.io/pause:3.10"] });
    let images: Vec<Value> = images.iter().map(entry).chain([pause]).collect();
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": { "providerID": format!("kind://docker/kind/{name}") },
        "status": {
            "conditions": [{ "type": "Ready", "status": "True" }],
            "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3" },
            "images": images,
        },
    })
}

fn with(mut node: Value, change: &Value) -> Value {
    json_patch::merge(&mut node, change);
    node
}

/// A node whose list has not come yet.
fn unknown(name: &str) -> Value {
    with(node(name, &[]), &json!({ "status": { "images": [] } }))
}

fn cordoned(node: Value) -> Value {
    with(node, &json!({ "spec": { "unschedulable": true } }))
}

fn tainted(node: Value) -> Value {
    with(node, &json!({ "spec": { "taints": [{ "key": "team", "effect": "NoSchedule" }] } }))
}

const APP: &str = "docker.io/library/app:dev";
/// A digest, to which `repository@` is put in front.
const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn pulled(name: &str) -> Value {
    node(name, &[&format!("docker.io/library/app{DIGEST} {APP}")])
}

/// A node on which `berth load` has just put the app; `age` seconds ago.
fn told(node: Value, age: i64) -> Value {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(age);
    let loaded = json!({ APP: { "at": at.to_string() } }).to_string();
    with(node, &json!({ "metadata": { "annotations": { "berth.dev/loaded": loaded } } }))
}

fn contested(name: &str) -> Value {
    node(name, &[&format!("docker.io/library/web{DIGEST} {APP}")])
}

#[test]
fn the_holders_are_required() {
    case(vec![node("a", &[APP]), node("b", &[])]).check(&["in a"]);
    case(vec![node("a", &[APP]), node("b", &[]), node("c", &[APP])]).check(&["in a c"]);
}

#[test]
fn where_every_node_has_it_nothing_is_added() {
    case(vec![node("a", &[APP]), node("b", &[APP])]).check(&[]);
    case(vec![node("a", &[APP]), tainted(node("b", &[]))]).check(&[]);
    case(vec![node("a", &[APP]), cordoned(node("b", &[]))]).check(&["in a"]); // it may be back in a moment
}

#[test]
fn unknown_nodes_may_hold_it_and_holders_are_preferred() {
    case(vec![node("a", &[APP]), node("b", &[]), unknown("c")]).check(&["in a c", "prefer a"]);
    case(vec![node("a", &[APP]), unknown("c")]).check(&["prefer a"]);
    let doubt = "main: no node is known to have app:dev, but one node may";
    case(vec![node("b", &[]), unknown("c")]).check(&["in c", doubt]);
    case(vec![unknown("c")]).check(&[doubt]);
}

#[test]
fn strict_leaves_out_unknown_nodes_where_there_is_a_holder() {
    let strict = |nodes| Case { strategy: Strategy::Strict, ..case(nodes) };
    strict(vec![node("a", &[APP]), node("b", &[]), unknown("c")]).check(&["in a"]);
    strict(vec![node("a", &[APP]), unknown("c")]).check(&["in a"]);
    let doubt = "main: no node is known to have app:dev, but one node may";
    strict(vec![node("b", &[]), unknown("c")]).check(&["in c", doubt]);
}

#[test]
fn contested_nodes_count_only_where_there_is_nothing_better() {
    case(vec![node("a", &[APP]), contested("b")]).check(&["in a"]);
    let doubt = "main: b lists app:dev, but may refuse it: its content was pulled by another name";
    case(vec![node("a", &[]), contested("b")]).check(&["in b", doubt]);
    case(vec![node("a", &[]), contested("b"), unknown("c")]).check(&["in b c", "prefer b", doubt]);
}

#[test]
fn a_told_node_counts_like_a_holder() {
    case(vec![told(node("a", &[]), 1), node("b", &[])]).check(&["in a"]);
    case(vec![told(node("a", &[]), 100), node("b", &[APP]), node("c", &[])]).check(&["in a b"]);
    case(vec![told(unknown("a"), 1), node("b", &[APP]), unknown("c"), node("d", &[])])
        .check(&["in a b c", "prefer a b"]);
    let strict = Case { strategy: Strategy::Strict, ..case(vec![told(node("a", &[]), 1), unknown("c")]) };
    strict.check(&["in a"]);
    // What a list shows of another pull lasts, however often it is loaded.
    case(vec![told(contested("a"), 1), node("b", &[APP]), node("c", &[])]).check(&["in b"]);
    let load = "main: waits, since no node has app:dev: `kind load docker-image app:dev` or `berth load app:dev`";
    case(vec![told(node("a", &[]), 121), node("b", &[])]).check(&["gate", load]);
    let db = "docker.io/library/db:dev";
    let both = vec![wanted("app:dev", true), wanted("db:dev", true)];
    let nodes = vec![told(node("a", &[db]), 1), node("b", &[db])];
    Case { wanted: both, ..case(nodes) }.check(&["in a"]);
    let optional = vec![wanted("app:dev", false)];
    Case { wanted: optional, ..case(vec![told(node("a", &[]), 1), node("b", &[])]) }.check(&["prefer a"]);
    Case { spec: json!({ "nodeName": "a" }), ..case(vec![told(node("a", &[]), 1)]) }.check(&[]);
}

#[test]
fn a_load_ends_by_time_without_another_event() {
    let nodes = || vec![told(node("a", &[]), 1), node("b", &[])];
    Case { age: Duration::from_secs(118), ..case(nodes()) }.check(&["in a"]);
    let load = "main: waits, since no node has app:dev: `kind load docker-image app:dev` or `berth load app:dev`";
    Case { age: Duration::from_secs(120), ..case(nodes()) }.check(&["gate", load]);
}

#[test]
fn for_never_imports_rank_before_pulls() {
    let nodes = || vec![node("a", &[APP]), pulled("b"), node("c", &[])];
    Case { wanted: vec![never("app:dev")], ..case(nodes()) }.check(&["in a b", "prefer a"]);
    case(nodes()).check(&["in a b"]);
}

#[test]
fn several_images_need_one_node_that_has_them_all() {
    let both = || vec![wanted("app:dev", true), wanted("db:dev", true)];
    let db = "docker.io/library/db:dev";
    let nodes = vec![node("a", &[APP]), node("b", &[APP, db]), node("c", &[db])];
    Case { wanted: both(), ..case(nodes) }.check(&["in b"]);
    let apart = vec![node("a", &[APP]), node("c", &[db])];
    let note = "waits, since no node has both app:dev and db:dev (a has app:dev, c has db:dev): `kind load docker-image app:dev db:dev` or `berth load IMAGE`";
    Case { wanted: both(), ..case(apart) }.check(&["gate", note]);
    let twice = vec![wanted("app:dev", true), wanted("docker.io/library/app:dev", true)];
    Case { wanted: twice, ..case(vec![node("a", &[APP]), node("b", &[])]) }.check(&["in a"]);
}

#[test]
fn what_can_be_pulled_is_only_a_preference() {
    let optional = |nodes| Case { wanted: vec![wanted("app:dev", false)], ..case(nodes) };
    optional(vec![node("a", &[APP]), node("b", &[])]).check(&["prefer a"]);
    optional(vec![node("a", &[]), unknown("b")]).check(&[]);
    optional(vec![node("a", &[APP]), node("b", &[APP])]).check(&[]);
    optional(vec![contested("a"), node("b", &[])]).check(&[]);
    let db = "docker.io/library/db:dev";
    let nodes = vec![node("a", &[APP]), node("b", &[APP, db]), node("c", &[])];
    Case { wanted: vec![wanted("app:dev", true), wanted("db:dev", false)], ..case(nodes) }
        .check(&["in a b", "prefer b"]);
}

#[test]
fn nodes_that_the_pod_cannot_use_do_not_count() {
    case(vec![node("a", &[APP]), tainted(node("b", &[APP])), node("c", &[])]).check(&["in a"]);
    let note = "main: waits, since no node that it can use has app:dev (b has the taint team): `kind load docker-image app:dev` or `berth load app:dev`";
    case(vec![tainted(node("b", &[APP])), node("c", &[])]).check(&["gate", note]);
}

#[test]
fn a_holder_that_is_down_stays_required_and_is_named() {
    let note = "main: only a (is cordoned) can have app:dev; elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    case(vec![cordoned(node("a", &[APP])), node("b", &[])]).check(&["in a", note]);
    case(vec![cordoned(node("a", &[APP])), node("b", &[APP]), node("c", &[])]).check(&["in a b"]);
}

#[test]
fn a_holder_may_come_back_or_not_whatever_keeps_the_pod_from_it() {
    let gone = |node| with(node, &json!({ "metadata": { "deletionTimestamp": "2026-11-21T08:00:00Z" } }));
    let down = |node| with(node, &json!({ "status": { "conditions": [] } }));
    let lost = json!({ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" });
    let unreachable = |node| with(node, &json!({ "spec": { "taints": [lost] } }));
    let load = "can have app:dev; elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    for (holder, why) in [
        (gone(node("a", &[APP])), "is being deleted"),
        (down(node("a", &[APP])), "is not ready"),
        (unreachable(node("a", &[APP])), "has the taint node.kubernetes.io/unreachable"),
    ] {
        let note = format!("main: only a ({why}) {load}");
        case(vec![holder.clone(), node("b", &[])]).check(&["in a", &note]);
        case(vec![holder, node("b", &[APP]), node("c", &[])]).check(&["in a b"]);
    }
}

#[test]
fn a_pod_for_one_architecture_counts_on_its_nodes_only() {
    let of = |node, name: &str| {
        let labels = json!({ "kubernetes.io/arch": name });
        with(node, &json!({ "metadata": { "labels": labels }, "status": { "nodeInfo": { "architecture": name } } }))
    };
    let nodes =
        |arm: &[&str]| vec![of(node("a", &[APP]), "amd64"), of(node("m", arm), "arm64"), of(node("n", &[]), "arm64")];
    // As the list says: whether what is listed runs there, nothing says.
    case(nodes(&[APP])).check(&["in a m"]);
    let arm = |nodes| Case { spec: json!({ "nodeSelector": { "kubernetes.io/arch": "arm64" } }), ..case(nodes) };
    arm(nodes(&[APP])).check(&["in m"]);
    let reason = "(a does not match the Pod's nodeSelector)";
    let load = "`kind load docker-image app:dev` or `berth load app:dev`";
    arm(nodes(&[]))
        .check(&["gate", &format!("main: waits, since no node that it can use has app:dev {reason}: {load}")]);
}

#[test]
fn where_nobody_has_it_on_missing_decides() {
    let nobody = |on_missing| Case { on_missing, ..case(vec![node("a", &[]), node("b", &[])]) };
    let load = "`kind load docker-image app:dev` or `berth load app:dev`";
    nobody(OnMissing::Wait).check(&["gate", &format!("main: waits, since no node has app:dev: {load}")]);
    nobody(OnMissing::Admit).check(&[&format!("main: no node has app:dev: {load}")]);
    nobody(OnMissing::Deny).check(&[&format!("deny: no node has app:dev: load it first: {load}")]);
    let alone = Case { controller_alive: false, ..nobody(OnMissing::Wait) };
    alone.check(&[&format!("main: no node has app:dev, nor can it wait without berth controller: {load}")]);
    let template = Case { may_gate: false, ..nobody(OnMissing::Wait) };
    template.check(&[&format!("main: no node has app:dev: {load}")]);
}

#[test]
fn no_requirement_rests_on_old_lists_or_on_none() {
    let old = Case { age: Duration::from_secs(301), ..case(vec![node("a", &[APP]), node("b", &[])]) };
    old.check(&[
        "prefer a",
        "main: not placed, since there is no recent news of the nodes: it may start where app:dev is missing",
    ]);
    case(Vec::new()).check(&["main: not placed, since no node is known: it may start where app:dev is missing"]);
}

#[test]
fn without_a_cluster_it_says_so() {
    let pod = Pod::default();
    let config = crate::config::Config::default().place;
    let circumstances = Circumstances { controller_alive: true, may_gate: true, now: Instant::now() };
    let placement = place(&pod, &[wanted("app:dev", true)], None, &config, circumstances);
    assert_eq!(words(&placement), ["main: not placed, since no node is known: it may start where app:dev is missing"]);
    let placement = place(&pod, &[wanted("app:dev", false)], None, &config, circumstances);
    assert_eq!(placement, Placement::default());
}

#[test]
fn a_pod_that_is_bound_gets_nothing_but_a_note() {
    let nodes = || vec![node("a", &[APP]), node("b", &[])];
    let note = "main: b, its node, lacks app:dev: `kind load docker-image app:dev` or `berth load app:dev`";
    let to = |name: &str| json!({ "nodeName": name });
    Case { spec: to("b"), ..case(nodes()) }.check(&[note]);
    Case { spec: to("a"), ..case(nodes()) }.check(&[]);
    Case { spec: to("gone"), ..case(nodes()) }.check(&[]);
    let daemon = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["b"] }] }],
    } } } });
    Case { spec: daemon, ..case(nodes()) }.check(&[note]);
}

/// Each term is another way to be scheduled: one that names a node binds a Pod only where no other leads elsewhere.
#[test]
fn a_pod_with_a_way_past_the_node_that_it_names_is_placed() {
    let named = |name: &str| json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [name] }] });
    let zone = json!({ "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["z"] }] });
    let required = |terms: Value| {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": terms,
        } } } })
    };
    let nodes = || {
        let in_zone = json!({ "metadata": { "labels": { "zone": "z" } } });
        vec![node("a", &[]), with(node("b", &[APP]), &in_zone), node("c", &[APP])]
    };
    Case { spec: required(json!([named("a"), named("b")])), ..case(nodes()) }.check(&["in b"]);
    Case { spec: required(json!([named("a"), zone])), ..case(nodes()) }.check(&["in b"]);
    let note = "main: waits, since no node that it can use has app:dev (c does not match the Pod's affinity): `kind load docker-image app:dev` or `berth load app:dev`";
    let others = [nodes().swap_remove(0), node("c", &[APP]), node("d", &[])].to_vec();
    Case { spec: required(json!([named("a"), named("d")])), ..case(others) }.check(&["gate", note]);
}

/// By its template alone a `DaemonSet` goes everywhere: what is known before its Pods are made.
#[test]
fn a_daemon_set_lacks_what_one_of_its_nodes_lacks() {
    let daemon = |nodes| Case { owner: "DaemonSet", ..case(nodes) };
    let load = "app:dev: `kind load docker-image app:dev` or `berth load app:dev`";
    let nodes = || vec![node("a", &[APP]), node("b", &[]), node("c", &[]), node("d", &[])];
    daemon(vec![node("a", &[APP])]).check(&[]);
    daemon(nodes()).check(&[&format!("main: b, c and 1 more lack {load}")]);
    daemon(nodes()[..3].to_vec()).check(&[&format!("main: b, c lack {load}")]);
    daemon(nodes()[..2].to_vec()).check(&[&format!("main: b lacks {load}")]);
    let only = json!({ "nodeSelector": { "kubernetes.io/hostname": "a" } });
    Case { spec: only, ..daemon(nodes()) }.check(&[]);
    Case { age: Duration::from_secs(301), ..daemon(nodes()) }.check(&[]);
    Case { wanted: vec![wanted("app:dev", false)], ..daemon(nodes()) }.check(&[]);
}

#[test]
fn hostnames_are_the_labels_not_the_names() {
    let renamed = |name: &str, label: Value| {
        with(node(name, &[APP]), &json!({ "metadata": { "labels": { "kubernetes.io/hostname": label } } }))
    };
    case(vec![renamed("a", json!("host-a")), node("b", &[])]).check(&["in host-a"]);
    // Without the label the node cannot be named, but the others can.
    case(vec![renamed("a", Value::Null), node("b", &[])]).check(&["not in b"]);
    case(vec![renamed("a", Value::Null), renamed("c", json!("c")), node("b", &[])]).check(&["not in b"]);
    let strict =
        Case { strategy: Strategy::Strict, ..case(vec![renamed("a", Value::Null), node("b", &[]), node("c", &[APP])]) };
    strict.check(&["in c", "main: node a cannot be named: give it the label kubernetes.io/hostname"]);
    let nobody = || Case { strategy: Strategy::Strict, ..case(vec![renamed("a", Value::Null), node("b", &[])]) };
    nobody().check(&[
        "main: not placed, since node a has no label kubernetes.io/hostname: it may start where app:dev is missing",
    ]);
    // Who waits already has the time until it has one.
    let waits = "main: waits, since node a has no label kubernetes.io/hostname: it cannot be held to where app:dev is";
    Case { spec: gated(), ..nobody() }.check(&["gate", waits]);
    let on_missing = OnMissing::Admit;
    Case { spec: gated(), on_missing, ..nobody() }.check(&[
        "main: not placed, since node a has no label kubernetes.io/hostname: it may start where app:dev is missing",
    ]);
}

/// The spec of a Pod that waits.
fn gated() -> Value {
    json!({ "schedulingGates": [{ "name": GATE }] })
}

#[test]
fn a_name_that_looks_like_a_selector_stays_a_name() {
    for name in [
        "a,b",
        "a in (b,c)",
        "!a",
        "kubernetes.io/hostname",
        "metadata.name=a",
        "a\"]}},{\"x\":[\"",
        "\u{202e}a\n$(b)`c`",
    ] {
        let case = case(vec![node(name, &[APP]), node("plain", &[])]);
        let (pod, placement) = (case.pod(), case.place(&case.pod()));
        assert_eq!(placement.required, Some(Requirement::In(vec![name.to_owned()])), "{name:?}");
        let text = pod.to_string();
        let operations = affinity::operations(&serde_json::from_str(&text).unwrap(), &placement);
        let written = serde_json::to_value(&operations).unwrap();
        let required = "/0/value/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let term =
            json!([{ "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": [name] }] }]);
        assert_eq!((written.pointer(required), operations.len()), (Some(&term), 1), "{name:?}");
    }
}

#[test]
fn two_nodes_of_one_hostname_are_named_once() {
    let twin = |name: &str, images: &[&str]| {
        with(node(name, images), &json!({ "metadata": { "labels": { "kubernetes.io/hostname": "twin" } } }))
    };
    case(vec![twin("a", &[APP]), twin("b", &[APP]), node("c", &[])]).check(&["in twin"]);
    // One has it and the other has not: the label cannot tell them apart.
    case(vec![twin("a", &[APP]), twin("b", &[]), node("c", &[])]).check(&["in twin"]);
}

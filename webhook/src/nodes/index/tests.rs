//! What the index answers, against the table of what runtimes list and against a count over all nodes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::nodes::{Runtime, node::Image};

const D: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const E: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
const CONTAINERD: &str = "containerd://2.1.4";

fn node(name: &str, runtime: &str, kubelet: &str, images: &[&[&str]]) -> Node {
    let images: Vec<_> = images.iter().map(|names| json!({ "names": names, "sizeBytes": 1 })).collect();
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": format!("host-{name}"), "pool": "a" } },
        "status": {
            "images": images,
            "nodeInfo": { "containerRuntimeVersion": runtime, "kubeletVersion": kubelet, "architecture": "amd64" },
        },
    }))
    .unwrap()
}

fn index(nodes: impl IntoIterator<Item = Node>) -> Index {
    Index::from_nodes(nodes, 50, Now::read())
}

fn image(text: &str) -> Reference {
    text.parse().unwrap()
}

fn evidence(index: &Index, text: &str) -> Evidence {
    index.evidence(&image(text), Instant::now())
}

fn names<'a>(nodes: impl Iterator<Item = NodeView<'a>>) -> Vec<&'a str> {
    nodes.map(|node| node.name()).collect()
}

/// `names` is the only entry of one node with this runtime; is `wanted` listed, by an import, and what is the evidence?
#[track_caller]
fn check(runtime: &str, names: &[&str], wanted: &str, listed: Option<Listing>, evidence: Evidence) {
    let names: Vec<String> = names.iter().map(|name| name.replace("$D", D).replace("$E", E)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = image(&wanted.replace("$D", D).replace("$E", E));
    let index = index([node("one", runtime, "v1.36.3", &[&names])]);
    let got = index.listed(&wanted).map(|(_, listing)| listing).next();
    assert_eq!((got, index.evidence(&wanted, Instant::now())), (listed, evidence), "{wanted} in {names:?}");
}

const PULLED: Option<Listing> = Some(Listing { imported: false, contested: false });
const IMPORTED: Option<Listing> = Some(Listing { imported: true, contested: false });
const CONTESTED: Option<Listing> = Some(Listing { imported: true, contested: true });

#[test]
fn a_pull_by_tag_lists_tag_and_digest() {
    let names = ["docker.io/library/app@$D", "docker.io/library/app:a"];
    check(CONTAINERD, &names, "app:a", PULLED, Evidence::Listed);
    check(CONTAINERD, &names, "app@$D", PULLED, Evidence::Listed);
    check(CONTAINERD, &names, "app:b@$D", PULLED, Evidence::Listed); // the digest alone decides
    check(CONTAINERD, &names, "app:a@$E", None, Evidence::Unlisted);
    check(CONTAINERD, &names, "app:b", None, Evidence::Unlisted);
    check(CONTAINERD, &names, "other/app:a", None, Evidence::Unlisted);
}

#[test]
fn a_pull_by_tag_and_digest_lists_the_digest_only() {
    let names = ["docker.io/library/app@$D"];
    check(CONTAINERD, &names, "app:a@$D", PULLED, Evidence::Listed);
    check(CONTAINERD, &names, "app:a", None, Evidence::Unlisted);
}

#[test]
fn an_import_lists_the_tag_only() {
    for names in [["docker.io/library/app:a"], ["app:a"], ["index.docker.io/library/app:a"]] {
        for wanted in ["app:a", "docker.io/app:a", "docker.io/library/app:a", "index.docker.io/app:a"] {
            check(CONTAINERD, &names, wanted, IMPORTED, Evidence::Local);
            check("docker://27.1.1", &names, wanted, IMPORTED, Evidence::Local);
        }
        check(CONTAINERD, &names, "app:a@$D", None, Evidence::Unlisted); // the kubelet does not find it either
        check(CONTAINERD, &names, "app@$D", None, Evidence::Unlisted);
    }
    check(CONTAINERD, &["docker.io/library/app:latest"], "app", IMPORTED, Evidence::Local);
}

#[test]
fn the_digest_that_an_import_makes_up_is_not_the_images() {
    let names = ["docker.io/library/import-2026-11-21@$D", "docker.io/library/app:a"];
    check(CONTAINERD, &names, "app:a", IMPORTED, Evidence::Local);
    check(CONTAINERD, &names, "app@$D", None, Evidence::Unlisted);
    // What only looks like one is another repository.
    for other in
        ["docker.io/library/import-tool", "docker.io/team/import-2026-11-21", "docker.io/library/import-2026-11-211"]
    {
        let name = [other, "@$D"].concat();
        check(CONTAINERD, &[&name, "docker.io/library/app:a"], "app:a", CONTESTED, Evidence::Local);
    }
}

#[test]
fn podmans_localhost_is_another_image() {
    check(CONTAINERD, &["localhost/app:a"], "app:a", None, Evidence::Unlisted);
    check(CONTAINERD, &["localhost/app:a"], "localhost/app:a", IMPORTED, Evidence::Local);
}

#[test]
fn k3s_imports_from_its_folder_look_like_pulls() {
    check(
        "containerd://2.1.5-k3s1",
        &["docker.io/library/app@$D", "docker.io/library/app:a"],
        "app:a",
        PULLED,
        Evidence::Listed,
    );
}

#[test]
fn other_runtimes_never_show_an_import() {
    for runtime in ["cri-o://1.36.0", "frob://1", ""] {
        check(runtime, &["docker.io/library/app:a"], "app:a", PULLED, Evidence::Listed);
    }
}

#[test]
fn the_same_list_says_more_once_the_runtime_is_known() {
    let entry: &[&str] = &["docker.io/library/app:a"];
    let mut index = index([node("one", "", "v1.36.3", &[entry])]);
    assert_eq!((evidence(&index, "app:a"), index.unknown_len()), (Evidence::Listed, 1));
    assert!(index.apply(&node("one", CONTAINERD, "v1.36.3", &[entry])));
    assert_eq!((evidence(&index, "app:a"), index.unknown_len()), (Evidence::Local, 0));
    assert!(!index.apply(&node("one", CONTAINERD, "v1.36.3", &[entry])));
}

#[test]
fn names_that_cannot_be_read_are_passed_over() {
    check(
        "docker://27.1.1",
        &["<none>@<none>", "app:a", "", "A:b:c", "app@sha256:0"],
        "app:a",
        IMPORTED,
        Evidence::Local,
    );
}

#[test]
fn the_same_content_under_another_name_is_contested_since_1_35() {
    let names: &[&str] = &[&["docker.io/library/app@", D].concat(), "docker.io/library/app:a", "localhost/app:b"];
    let listing = |kubelet: &str| {
        let index = index([node("one", CONTAINERD, kubelet, &[names])]);
        index.listed(&image("localhost/app:b")).map(|(_, listing)| listing).next()
    };
    for kubelet in ["v1.35.0", "v1.36.3", "v1.35.0-rc.1+k3s1", "v2.0.0"] {
        assert_eq!(listing(kubelet), CONTESTED, "{kubelet}");
    }
    for kubelet in ["v1.34.9", "v1.33.7+k3s1", "", "none"] {
        assert_eq!(listing(kubelet), IMPORTED, "{kubelet}");
    }
}

#[test]
fn one_pull_anywhere_ends_the_evidence() {
    let import = node("b", CONTAINERD, "v1.36.3", &[&["docker.io/library/app:a"]]);
    let pull = node("a", "cri-o://1.36.0", "v1.36.3", &[&[&["docker.io/library/app@", D].concat()]]);
    let mut index = index([import, pull]);
    assert_eq!(evidence(&index, "app:a"), Evidence::Listed);
    index.remove("a");
    assert_eq!(evidence(&index, "app:a"), Evidence::Local);
}

#[test]
fn nodes_come_in_the_order_of_their_names_with_what_each_says() {
    let own = ["docker.io/library/app@", D].concat();
    let index = index([
        node("c", CONTAINERD, "v1.36.3", &[&["docker.io/library/app:a"]]),
        node("a", CONTAINERD, "v1.36.3", &[&["docker.io/library/app:a"]]),
        node("b", CONTAINERD, "v1.36.3", &[&[&own, "docker.io/library/app:a"]]),
        // A kubelet that lists one tag twice: the doubts add up.
        node("d", CONTAINERD, "v1.36.3", &[&["docker.io/library/app:a"], &[&own, "docker.io/library/app:a"]]),
    ]);
    let listed: Vec<_> = index.listed(&image("app:a")).map(|(node, listing)| (node.name(), listing.imported)).collect();
    assert_eq!(listed, [("a", true), ("b", false), ("c", true), ("d", false)]);
}

#[test]
fn only_a_whole_list_proves_that_an_image_is_absent() {
    let entry: &[&str] = &["docker.io/library/app:a"];
    let five: &[&str] = &["a:1", "a:2", "a:3", "a:4", "a:5"];
    let mut nulls = node("nulls", CONTAINERD, "v1.36.3", &[]);
    nulls.status.images = serde_json::from_value(json!([{ "names": null, "sizeBytes": 7 }])).unwrap();
    let nodes = [
        node("cut", CONTAINERD, "v1.36.3", &[entry, entry, entry]),
        node("whole", CONTAINERD, "v1.36.3", &[entry, entry]),
        node("empty", CONTAINERD, "v1.36.3", &[]),
        node("five", CONTAINERD, "v1.36.3", &[five]),
        node("four", "docker://27.1.1", "v1.36.3", &[&five[..4]]),
        node("crio", "cri-o://1.36.0", "v1.36.3", &[entry]),
        nulls,
    ];
    let mut index = Index::from_nodes(nodes, 3, Now::read());
    assert_eq!(names(index.unknown()), ["crio", "cut", "empty", "five"]);
    assert_eq!(index.unknown_len(), 4);
    index.apply(&node("cut", CONTAINERD, "v1.36.3", &[entry]));
    index.remove("crio");
    assert_eq!(names(index.unknown()), ["empty", "five"]);
}

#[test]
fn a_node_is_described() {
    let node: Node = serde_json::from_value(json!({
        "metadata": {
            "name": "n", "deletionTimestamp": "2026-11-21T08:00:00Z", "managedFields": [{ "manager": "kubelet" }],
            "labels": { "kubernetes.io/hostname": "h", "topology.kubernetes.io/zone": "z" },
        },
        "spec": {
            "unschedulable": true, "providerID": "kind://docker/kind/kind-worker",
            "taints": [{ "key": "k", "effect": "NoSchedule" }, { "key": "l", "value": "v", "effect": "New" }],
        },
        "status": {
            "allocatable": { "cpu": "3920m", "memory": "8039468Ki", "pods": "110", "hugepages-1Gi": "0", "odd": "?" },
            "conditions": [{ "type": "DiskPressure", "status": "False" }, { "type": "Ready", "status": "True" }],
            "nodeInfo": { "architecture": "arm64", "containerRuntimeVersion": "docker://27.1.1", "kubeletVersion": "v1.36.3" },
        },
    }))
    .unwrap();
    let index = index([
        node,
        serde_json::from_value(json!({ "metadata": { "name": "bare" }, "spec": null, "status": {} })).unwrap(),
    ]);
    let full = index.get("n").unwrap();
    assert_eq!((full.name(), full.hostname(), full.zone(), full.label("pool")), ("n", Some("h"), Some("z"), None));
    assert_eq!((full.architecture(), full.runtime()), ("arm64", Runtime::Docker));
    assert_eq!(full.provider_id(), Some("kind://docker/kind/kind-worker"));
    assert!(full.ready() && full.unschedulable() && full.deleting());
    assert_eq!(
        full.taints().iter().map(|taint| (&*taint.key, &*taint.value)).collect::<Vec<_>>(),
        [("k", ""), ("l", "v")]
    );
    let amounts =
        ["cpu", "memory", "pods", "hugepages-1Gi", "odd", "none"].map(|name| full.allocatable(name).thousandths());
    assert_eq!(amounts, [3_920, 8_039_468 * 1_024 * 1_000, 110_000, 0, 0, 0]);
    let bare = index.get("bare").unwrap();
    assert_eq!((bare.hostname(), bare.architecture(), bare.runtime(), bare.ready()), (None, "", Runtime::Other, false));
    assert!(index.get("other").is_none());
}

#[test]
fn a_full_list_forgets_nodes_that_are_not_in_it() {
    let entry: &[&str] = &["docker.io/library/app:a"];
    let node = |name: &str| node(name, CONTAINERD, "v1.36.3", &[entry]);
    let mut index = index(["a", "b", "c"].map(node));
    index.begin_list();
    index.apply(&node("b"));
    index.begin_list(); // the first try broke off
    index.apply(&node("c"));
    index.apply(&node("d"));
    assert_eq!(names(index.nodes()), ["a", "b", "c", "d"]);
    index.end_list();
    assert_eq!(names(index.nodes()), ["c", "d"]);
    assert_eq!(names(index.listed(&image("app:a")).map(|(node, _)| node)), ["c", "d"]);
}

/// What happens to the index.
#[derive(Clone, Debug)]
enum Step {
    Apply(Box<Node>),
    Remove(String),
    List(Vec<Node>),
}

/// Names that meet in entries in every way that matters.
const POOL: [&str; 9] = [
    "docker.io/library/app:a",
    "app:b",
    "docker.io/library/app@sha256:1111111111111111111111111111111111111111111111111111111111111111",
    "docker.io/library/app@sha256:2222222222222222222222222222222222222222222222222222222222222222",
    "localhost/app:a",
    "localhost/app@sha256:1111111111111111111111111111111111111111111111111111111111111111",
    "docker.io/library/import-2026-11-21@sha256:3333333333333333333333333333333333333333333333333333333333333333",
    "quay.io/team/tool:1",
    "<none>:<none>",
];
const LIMIT: usize = 4;

fn any_node() -> impl Strategy<Value = Node> {
    let entry = prop::sample::subsequence(POOL.to_vec(), 0..=5);
    let images = prop::collection::vec(entry, 0..=LIMIT);
    let runtime = prop::sample::select(vec![CONTAINERD, CONTAINERD, "docker://27.1.1", "cri-o://1.36.0", ""]);
    let kubelet = prop::sample::select(vec!["v1.34.1", "v1.36.3"]);
    (0..6_u8, images, runtime, kubelet, any::<bool>()).prop_map(|(name, images, runtime, kubelet, cordoned)| {
        let images: Vec<&[&str]> = images.iter().map(Vec::as_slice).collect();
        let mut node = node(&format!("node-{name}"), runtime, kubelet, &images);
        node.spec.unschedulable = cordoned;
        node
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_node().prop_map(|node| Step::Apply(Box::new(node))),
        2 => (0..6_u8).prop_map(|name| Step::Remove(format!("node-{name}"))),
        1 => prop::collection::vec(any_node(), 0..6).prop_map(Step::List),
    ]
}

/// The answers for one image, counted over all nodes by the words of the definitions.
fn counted(nodes: &BTreeMap<String, Node>, wanted: &Reference) -> (Evidence, Vec<(String, Listing)>) {
    let tells = |node: &Node| {
        ["containerd", "docker"].iter().any(|name| node.status.node_info.container_runtime_version.starts_with(name))
    };
    let parsed = |entry: &Image| entry.names.iter().filter_map(|name| name.parse().ok()).collect::<Vec<Reference>>();
    let same = |name: &Reference| {
        let alike = name.repository() == wanted.repository() && name.digest() == wanted.digest();
        alike && (wanted.digest().is_some() || name.tag() == wanted.effective_tag())
    };
    let own = |name: &Reference| name.digest().is_some() && name.repository() == wanted.repository();
    let foreign = |name: &Reference| name.digest().is_some() && !own(name) && !name.repository().contains("/import-");
    let mut listed = Vec::new();
    let mut pulled = false;
    let mut local = false;
    for (name, node) in nodes {
        let entries: Vec<Vec<Reference>> = node.status.images.iter().map(parsed).collect();
        pulled |= entries.iter().flatten().any(own);
        let holding: Vec<_> = entries.iter().filter(|entry| entry.iter().any(same)).collect();
        let import = |entry: &&Vec<Reference>| tells(node) && wanted.digest().is_none() && !entry.iter().any(own);
        local |= holding.iter().any(import);
        if !holding.is_empty() {
            let imported = holding.iter().all(import);
            let modern = node.status.node_info.kubelet_version == "v1.36.3";
            let contested = modern && holding.iter().any(|entry| entry.iter().any(foreign));
            listed.push((name.clone(), Listing { imported, contested }));
        }
    }
    let evidence = match (listed.is_empty(), local && !pulled) {
        (true, _) => Evidence::Unlisted,
        (_, true) => Evidence::Local,
        _ => Evidence::Listed,
    };
    (evidence, listed)
}

/// Whether a list has a digest at `host`, other than one that an import made up.
fn counted_pulls(nodes: &BTreeMap<String, Node>, host: &str) -> bool {
    let names = nodes.values().flat_map(|node| &node.status.images).flat_map(|image| &image.names);
    let names = names.filter_map(|name| name.parse::<Reference>().ok());
    names.into_iter().any(|name| name.host() == host && name.digest().is_some() && !name.path().contains("/import-"))
}

proptest! {
    #[test]
    fn after_any_changes_the_answers_are_those_of_a_count(steps in prop::collection::vec(any_step(), 0..40)) {
        let mut index = Index::new(LIMIT, Now::read());
        let mut nodes = BTreeMap::new();
        for step in steps {
            match step {
                Step::Apply(node) => {
                    index.apply(&node);
                    nodes.insert(node.name().to_owned(), *node);
                }
                Step::Remove(name) => {
                    index.remove(&name);
                    nodes.remove(&name);
                }
                Step::List(list) => {
                    index.begin_list();
                    for node in &list {
                        index.apply(node);
                    }
                    index.end_list();
                    nodes = list.into_iter().map(|node| (node.name().to_owned(), node)).collect();
                }
            }
            for text in POOL {
                let Ok(wanted) = text.parse::<Reference>() else { continue };
                let listed = index.listed(&wanted).map(|(node, listing)| (node.name().to_owned(), listing)).collect();
                prop_assert_eq!((index.evidence(&wanted, Instant::now()), listed), counted(&nodes, &wanted), "{}", wanted);
            }
            for host in ["docker.io", "localhost", "quay.io"] {
                prop_assert_eq!(index.has_pulled_from(host), counted_pulls(&nodes, host), "{}", host);
            }
            let fresh = Index::from_nodes(nodes.values().cloned(), LIMIT, Now::read());
            prop_assert_eq!(names(index.nodes()), nodes.keys().collect::<Vec<_>>());
            prop_assert_eq!(names(index.unknown()), names(fresh.unknown()));
            prop_assert_eq!(&index.sizes()[..7], &fresh.sizes()[..7]); // changes are not in a list
            for (name, node) in &nodes {
                prop_assert_eq!(index.get(name).unwrap().unschedulable(), node.spec.unschedulable);
            }
        }
        for name in nodes.keys() {
            index.remove(name);
        }
        prop_assert_eq!(index.sizes(), [0; 8]);
    }
}

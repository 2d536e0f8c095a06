//! Loads and changes: who is told, which builds differ, and which is newer.

use serde_json::{Value, json};

use super::*;
use crate::nodes::{Evidence, Node, Now};

const A: &str = "docker.io/library/app@sha256:1111111111111111111111111111111111111111111111111111111111111111";
const B: &str = "docker.io/library/app@sha256:2222222222222222222222222222222222222222222222222222222222222222";
const OLD: &str =
    "docker.io/library/import-2026-11-20@sha256:3333333333333333333333333333333333333333333333333333333333333333";
const NEW: &str =
    "docker.io/library/import-2026-11-21@sha256:4444444444444444444444444444444444444444444444444444444444444444";
const APP: &str = "docker.io/library/app:dev";
const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A cluster and its clock.
struct Cluster {
    index: Index,
    start: Now,
}

impl Cluster {
    fn new() -> Self {
        let start = Now::read();
        Self { index: Index::new(50, start), start }
    }

    fn at(&self, second: u64) -> Now {
        let time = Duration::from_secs(second);
        Now { instant: self.start.instant + time, wall: self.start.wall + time }
    }

    /// A full list at `second`.
    fn list(&mut self, second: u64, nodes: &[Node]) {
        self.index.hear(self.at(second));
        self.index.begin_list();
        for node in nodes {
            self.index.apply(node);
        }
        self.index.end_list();
    }

    /// An event of the watch at `second`; returns whether it changed anything about images.
    fn see(&mut self, second: u64, node: &Node) -> bool {
        self.index.hear(self.at(second));
        self.index.apply(node)
    }

    fn of(&self, node: &str) -> Sighting<'_> {
        let mut all = self.index.sightings(&"app:dev".parse().unwrap()).into_iter();
        all.find(|sighting| sighting.node.name() == node).unwrap()
    }

    /// When it changed on the node, seconds after the start.
    fn since(&self, node: &str) -> Option<u64> {
        self.of(node).since().map(|since| (since - self.start.instant).as_secs())
    }

    fn compare(&self, one: &str, other: &str, second: u64) -> Likeness {
        let now = self.at(second).instant;
        let likeness = self.of(one).compare(&self.of(other), now);
        assert_eq!(likeness, self.of(other).compare(&self.of(one), now), "from both sides");
        likeness
    }

    fn told(&self, second: u64) -> Vec<&str> {
        let now = self.at(second).instant;
        self.index.told(&"app:dev".parse().unwrap(), now).map(|node| node.name()).collect()
    }
}

/// A node whose list has something else, and entries of these names (joined by a space) and sizes.
fn node(name: &str, images: &[(&str, i64)]) -> Node {
    let entry =
        |(names, size): &(&str, i64)| json!({ "names": names.split(' ').collect::<Vec<_>>(), "sizeBytes": size });
    let pause = ("registry.k8s.io/pause:3.10", 7);
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "status": {
            "images": images.iter().chain([&pause]).map(entry).collect::<Vec<Value>>(),
            "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4", "architecture": "amd64" },
        },
    }))
    .unwrap()
}

fn loaded(mut node: Node, at: Now, id: Option<&str>) -> Node {
    let mut loaded = crate::nodes::Loaded::default();
    let load = crate::nodes::Load { at: at.wall, id: id.map(|id| id.parse().unwrap()) };
    loaded.insert(&"app:dev".parse().unwrap(), load);
    node.metadata.annotations = Some([(crate::nodes::loaded::LOADED.to_owned(), loaded.to_string())].into());
    node
}

#[test]
fn a_load_is_told_for_two_minutes_without_another_event() {
    let mut cluster = Cluster::new();
    cluster.list(0, &[node("a", &[]), node("b", &[])]);
    let load = loaded(node("a", &[]), cluster.at(10), None);
    assert!(cluster.see(10, &load), "news for gates");
    assert!(!cluster.see(40, &load));
    assert_eq!((cluster.told(10), cluster.told(129), cluster.told(130)), (vec!["a"], vec!["a"], vec![]));
    let evidence = |second| cluster.index.evidence(&"app:dev".parse().unwrap(), cluster.at(second).instant);
    assert_eq!((evidence(129), evidence(130)), (Evidence::Local, Evidence::Unlisted));
    assert_eq!(cluster.since("a"), Some(10), "it still tells builds apart");
    assert!(cluster.see(50, &node("a", &[])), "taken back");
    assert_eq!(cluster.told(51), [""; 0]);
}

#[test]
fn what_appears_in_the_watch_was_said_just_now_whatever_the_clock_that_said_it() {
    for wrong in [0, 5_000, 100_000] {
        let mut cluster = Cluster::new();
        cluster.start.wall += Duration::from_secs(50_000);
        let wall = cluster.start.wall - Duration::from_secs(50_000) + Duration::from_secs(wrong);
        cluster.list(0, &[node("a", &[])]);
        cluster.see(10, &loaded(node("a", &[]), Now { wall, ..cluster.start }, None));
        assert_eq!((cluster.told(129), cluster.told(130)), (vec!["a"], vec![]));
        // At first sight there is nothing to compare with: then that clock is believed, but not for the future.
        let mut restarted = Cluster { index: Index::new(50, cluster.start), start: cluster.start };
        restarted.list(20, &[loaded(node("a", &[]), Now { wall, ..cluster.start }, None)]);
        assert_eq!(restarted.told(20), [""; 0], "{wrong}");
    }
    let mut cluster = Cluster::new();
    cluster.list(100, &[loaded(node("a", &[]), cluster.at(0), None), loaded(node("b", &[]), cluster.at(160), None)]);
    assert_eq!((cluster.told(119), cluster.told(120), cluster.told(220)), (vec!["a", "b"], vec!["b"], vec![]));
}

#[test]
fn what_was_there_in_the_first_list_has_no_age() {
    let mut cluster = Cluster::new();
    cluster.list(0, &[node("a", &[(APP, 5)])]);
    cluster.see(10, &node("a", &[(APP, 5), ("docker.io/library/other:1", 9)]));
    assert_eq!(cluster.since("a"), None);
    cluster.see(20, &node("a", &[(APP, 6)]));
    assert_eq!(cluster.since("a"), Some(20));
    cluster.see(30, &node("a", &[(&format!("{APP} docker.io/library/app:2"), 6)])); // one more name for the same
    assert_eq!(cluster.since("a"), Some(20));
    cluster.see(40, &node("a", &[(&format!("{A} {APP}"), 6)])); // it may be the same
    assert_eq!(cluster.since("a"), Some(20));
    cluster.see(50, &node("a", &[(&format!("{B} {APP}"), 6)]));
    assert_eq!(cluster.since("a"), Some(50));
    cluster.see(60, &node("a", &[]));
    cluster.see(70, &node("a", &[(APP, 6)]));
    assert_eq!(cluster.since("a"), Some(70));
}

#[test]
fn what_comes_up_in_a_list_that_was_cut_may_have_been_there() {
    let cut = |images: &[(&str, i64)]| {
        let mut node = node("a", images);
        let other =
            |number: i64| crate::nodes::node::Image { names: vec![format!("other:{number}")], size: 100 + number };
        node.status.images.extend((0..50).map(other));
        node
    };
    let mut cluster = Cluster::new();
    cluster.list(0, &[cut(&[])]);
    cluster.see(10, &cut(&[(APP, 5)]));
    assert_eq!(cluster.since("a"), None);
    cluster.see(20, &cut(&[(APP, 6)]));
    assert_eq!(cluster.since("a"), Some(20), "it was listed with another size");
    cluster.see(30, &cut(&[]));
    cluster.see(40, &cut(&[(APP, 5)]));
    assert_eq!(cluster.since("a"), None, "it may be the old one again");
}

#[test]
fn builds_differ_by_digest_by_archive_or_by_size() {
    let likeness = |one: &str, other: &str, sizes: (i64, i64)| {
        let mut cluster = Cluster::new();
        cluster.list(0, &[node("a", &[(one, sizes.0)]), node("b", &[(other, sizes.1)])]);
        cluster.compare("a", "b", 0)
    };
    let with = |digest: &str| format!("{digest} {APP}");
    assert_eq!(likeness(APP, APP, (5, 5)), Likeness::Alike, "two builds of one size");
    assert_eq!(likeness(APP, APP, (5, 6)), Likeness::Different);
    assert_eq!(likeness(&with(A), &with(A), (5, 5)), Likeness::Same);
    assert_eq!(likeness(&with(A), &with(A), (5, 6)), Likeness::Same, "unpacked differently");
    assert_eq!(likeness(&with(A), &with(B), (5, 5)), Likeness::Different);
    assert_eq!(likeness(&with(A), &with(&format!("{A} {B}")), (5, 5)), Likeness::Same, "one content, two manifests");
    assert_eq!(likeness(&with(OLD), &with(NEW), (5, 5)), Likeness::Different, "two archives");
    assert_eq!(likeness(&with(NEW), &with(NEW), (5, 5)), Likeness::Same);
    assert_eq!(likeness(&with(A), APP, (5, 5)), Likeness::Alike);
    assert_eq!(likeness(&with(A), &with(NEW), (5, 6)), Likeness::Different);
}

#[test]
fn sizes_of_two_architectures_say_nothing() {
    let mut arm = node("b", &[(APP, 6)]);
    "arm64".clone_into(&mut arm.status.node_info.architecture);
    let mut cluster = Cluster::new();
    cluster.list(0, &[node("a", &[(APP, 5)]), arm]);
    assert_eq!(cluster.compare("a", "b", 0), Likeness::Alike);
}

#[test]
fn an_image_id_tells_more_than_a_size() {
    let other = ID.replace('e', "f");
    let load = |name: &str, id: &str, cluster: &Cluster| loaded(node(name, &[(APP, 5)]), cluster.at(10), Some(id));
    let mut cluster = Cluster::new();
    cluster.list(0, &["a", "b", "c"].map(|name| node(name, &[(APP, 5)])));
    for (name, id) in [("a", ID), ("b", ID), ("c", &other)] {
        let node = load(name, id, &cluster);
        cluster.see(10, &node);
    }
    assert_eq!((cluster.compare("a", "b", 11), cluster.compare("a", "c", 11)), (Likeness::Same, Likeness::Different));
    // Also when it is told no more. An import by other ways ends it.
    assert_eq!(cluster.compare("a", "c", 500), Likeness::Different);
    let mut imported = load("c", &other, &cluster);
    imported.status.images = node("c", &[(APP, 7)]).status.images;
    cluster.see(600, &imported);
    assert_eq!((cluster.of("c").id(), cluster.since("c")), (None, Some(600)));
}

#[test]
fn a_list_from_before_a_load_is_not_compared() {
    let mut cluster = Cluster::new();
    cluster.list(0, &[node("a", &[(APP, 5)]), node("b", &[(APP, 5)])]);
    cluster.see(100, &loaded(node("a", &[(APP, 5)]), cluster.at(100), None));
    assert_eq!(cluster.compare("a", "b", 101), Likeness::Different);
    assert_eq!(cluster.compare("a", "b", 221), Likeness::Alike, "its list has had two minutes");
    cluster.see(230, &loaded(node("a", &[(APP, 6)]), cluster.at(225), None));
    assert_eq!(cluster.compare("a", "b", 231), Likeness::Different);
}

#[test]
fn the_order_is_certain_only_by_more_than_a_list_is_late() {
    let mut cluster = Cluster::new();
    cluster.list(0, &["a", "b", "c"].map(|name| node(name, &[])));
    cluster.see(100, &node("a", &[(APP, 5)]));
    cluster.see(130, &node("b", &[(APP, 6)]));
    assert!(!cluster.of("b").is_after(&cluster.of("a")), "a's may have been imported later, and reported sooner");
    cluster.see(160, &node("c", &[(APP, 7)]));
    assert!(cluster.of("c").is_after(&cluster.of("a")) && !cluster.of("a").is_after(&cluster.of("c")));
    assert!(!cluster.of("c").is_after(&cluster.of("b")));
    cluster.see(170, &node("a", &[(APP, 6)])); // the same as on b, where a had another: so that one is older
    cluster.see(171, &node("b", &[(APP, 5)]));
    assert!(!cluster.of("b").is_after(&cluster.of("a")), "each had the other's");
    cluster.see(172, &node("c", &[(APP, 6)]));
    cluster.see(173, &node("b", &[(APP, 7)]));
    assert!(cluster.of("c").is_after(&cluster.of("b")), "c had what b has");
}

#[test]
fn what_changed_while_nobody_watched_has_no_order() {
    let mut cluster = Cluster::new();
    cluster.list(0, &["a", "b"].map(|name| node(name, &[(APP, 5)])));
    cluster.list(1_000, &[node("a", &[(APP, 6)]), node("b", &[(APP, 7)])]);
    assert_eq!((cluster.since("a"), cluster.since("b")), (Some(1_000), Some(1_000)));
    assert!(!cluster.of("a").is_after(&cluster.of("b")) && !cluster.of("b").is_after(&cluster.of("a")));
}

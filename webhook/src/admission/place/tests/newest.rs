//! `place.newest`: several builds under one tag.

use super::*;

/// A node with a build of the app of this size.
fn build(name: &str, size: u32) -> Value {
    let mut node = node(name, &[APP]);
    node["status"]["images"][0]["sizeBytes"] = json!(size);
    node
}

/// A node on which `berth load` has just put the app, with an image ID of this digit.
fn loaded(node: Value, digit: char) -> Value {
    let id = format!("sha256:{}", String::from(digit).repeat(64));
    let loaded = json!({ APP: { "at": jiff::Timestamp::now().to_string(), "id": id } }).to_string();
    with(node, &json!({ "metadata": { "annotations": { "berth.dev/loaded": loaded } } }))
}

/// Decided in both ways, `prefer` and `require`.
#[track_caller]
fn check(nodes: Vec<Value>, history: Vec<(u64, Value)>, prefer: &[&str], require: &[&str]) {
    let mut case = Case { history, newest: Newest::Prefer, ..case(nodes) };
    case.check(prefer);
    case.newest = Newest::Require;
    case.check(require);
}

const NO_ORDER: &str =
    "main: cannot tell which node has the newest app:dev: nothing says which build came last; `berth load` tells";
const NO_DIFFERENCE: &str =
    "main: cannot tell which node has the newest app:dev: all list one size and no digest; `berth load` tells";

#[test]
fn pods_go_where_the_image_changed_last() {
    let three = || vec![build("a", 5), build("b", 5), node("c", &[])];
    check(three(), vec![(60, build("b", 6))], &["in a b", "prefer b"], &["in b"]);
    // Also where it is new, and where it came to several nodes.
    check(three(), vec![(60, build("c", 6))], &["prefer c"], &["in c"]);
    check(three(), vec![(60, build("b", 6)), (70, build("c", 6))], &["prefer b c"], &["in b c"]);
    // And once it is everywhere.
    let everywhere = vec![(60, build("b", 6)), (130, build("a", 6))];
    check(three(), everywhere, &["in a b", NO_DIFFERENCE], &["in a b", NO_DIFFERENCE]);
}

#[test]
fn without_it_all_builds_are_alike() {
    let history = vec![(60, build("b", 6))];
    Case { history, ..case(vec![build("a", 5), build("b", 5), node("c", &[])]) }.check(&["in a b"]);
}

#[test]
fn where_nothing_says_which_is_newer_nothing_is_preferred() {
    let both = || vec![build("a", 5), build("b", 6), node("c", &[])];
    check(both(), vec![], &["in a b", NO_ORDER], &["in a b", NO_ORDER]);
    // Lists are late: what was imported later may be listed sooner.
    let absent = || vec![node("a", &[]), node("b", &[]), node("c", &[])];
    let close = vec![(60, build("a", 5)), (80, build("b", 6))];
    check(absent(), close, &["in a b", NO_ORDER], &["in a b", NO_ORDER]);
    let apart = vec![(60, build("a", 5)), (110, build("b", 6))];
    check(absent(), apart, &["in a b", "prefer b"], &["in b"]);
}

#[test]
fn two_builds_of_one_size_cannot_be_told_apart() {
    let both = || vec![build("a", 5), build("b", 5), node("c", &[])];
    check(both(), vec![], &["in a b", NO_DIFFERENCE], &["in a b", NO_DIFFERENCE]);
    check(vec![build("a", 5), node("c", &[])], vec![], &["in a"], &["in a"]);
    // A digest proves that they are one.
    check(vec![pulled("a"), pulled("b"), node("c", &[])], vec![], &["in a b"], &["in a b"]);
}

#[test]
fn sizes_of_builds_for_two_architectures_say_nothing() {
    let arm = |node| with(node, &json!({ "status": { "nodeInfo": { "architecture": "arm64" } } }));
    let nodes = || vec![build("a", 5), arm(build("b", 6)), node("c", &[])];
    let note = NO_DIFFERENCE.replace("all list one size and no digest", "the nodes differ in architecture");
    check(nodes(), vec![], &["in a b", &note], &["in a b", &note]);
    check(nodes(), vec![(60, arm(build("b", 7)))], &["in a b", &note], &["in a b", &note]);
    check(nodes(), vec![(60, arm(told(build("b", 6), 0)))], &["in a b", "prefer b"], &["in b"]);
}

#[test]
fn what_was_loaded_just_now_is_the_newest() {
    let both = || vec![build("a", 5), build("b", 5), node("c", &[])];
    check(both(), vec![(60, told(build("b", 5), 0))], &["in a b", "prefer b"], &["in b"]);
    check(both(), vec![(60, told(node("c", &[]), 0))], &["prefer c"], &["in c"]);
    // On all nodes: nothing to choose, if it is one image.
    let everywhere = ["a", "b", "c"].map(|name| (60, loaded(node(name, &[]), 'f')));
    check(both(), everywhere.to_vec(), &[], &[]);
    let two = vec![(60, loaded(build("a", 5), 'e')), (61, loaded(build("b", 5), 'f'))];
    check(both(), two, &["in a b", "prefer b"], &["in b"]);
    let unsaid = vec![(60, told(build("a", 5), 0)), (61, told(build("b", 5), 0))];
    check(both(), unsaid, &["in a b", NO_DIFFERENCE], &["in a b", NO_DIFFERENCE]);
}

#[test]
fn a_node_that_cannot_tell_may_have_an_older_build() {
    let nodes = || vec![build("a", 5), build("b", 5), unknown("u"), node("c", &[])];
    check(nodes(), vec![(60, build("b", 6))], &["in a b u", "prefer b"], &["in b"]);
}

#[test]
fn the_newest_stays_required_where_its_node_is_down() {
    let note = "main: only b (is cordoned) can have the newest app:dev; elsewhere: `kind load docker-image app:dev` or `berth load app:dev`";
    let history = vec![(60, cordoned(build("b", 6)))];
    check(vec![build("a", 5), build("b", 5), node("c", &[])], history, &["in a b", "prefer b"], &["in b", note]);
    // A node that the Pod can never use does not count.
    let history = vec![(60, tainted(build("b", 6)))];
    check(vec![build("a", 5), build("b", 5), node("c", &[])], history, &["in a"], &["in a"]);
}

#[test]
fn several_images_need_the_newest_of_each() {
    let db = "docker.io/library/db:dev";
    let both = |name: &str, app: u32, database: u32| {
        let mut node = node(name, &[APP, db]);
        node["status"]["images"][0]["sizeBytes"] = json!(app);
        node["status"]["images"][1]["sizeBytes"] = json!(database);
        node
    };
    let nodes = || vec![both("a", 5, 5), both("b", 5, 5), both("c", 5, 5), node("d", &[])];
    let pair = || vec![wanted("app:dev", true), wanted("db:dev", true)];
    let decide = |history| Case { history, wanted: pair(), newest: Newest::Require, ..case(nodes()) };
    decide(vec![(60, both("a", 6, 6)), (61, both("b", 6, 5))]).check(&["in a"]);
    let note = "no node has the newest builds of all its images";
    decide(vec![(60, both("a", 6, 5)), (61, both("b", 5, 6))]).check(&["in a b c", note]);
}

#[test]
fn what_can_be_pulled_is_preferred_where_it_is_newest() {
    let optional = |history| Case {
        history,
        wanted: vec![wanted("app:dev", false)],
        newest: Newest::Require,
        ..case(vec![build("a", 5), build("b", 5)])
    };
    optional(vec![]).check(&[]);
    optional(vec![(60, build("b", 6))]).check(&["prefer b"]);
}

#[test]
fn a_digest_says_which_build_is_meant() {
    let image = format!("docker.io/library/app{DIGEST}");
    let sized = |name: &str, size: u32| {
        let mut node = node(name, &[&image]);
        node["status"]["images"][0]["sizeBytes"] = json!(size);
        node
    };
    let wanted = vec![Wanted { policy: PullPolicy::Never, ..wanted(&image, true) }];
    let nodes = vec![sized("a", 5), sized("b", 5), node("c", &[])];
    Case { wanted, newest: Newest::Require, history: vec![(60, sized("b", 6))], ..case(nodes) }.check(&["in a b"]);
}

#[test]
fn a_node_that_cannot_be_named_is_not_preferred() {
    let nameless =
        with(told(node("c", &[]), 0), &json!({ "metadata": { "labels": { "kubernetes.io/hostname": null } } }));
    let nodes = vec![pulled("a"), node("b", &[APP]), contested("d"), nameless];
    let wanted = vec![never("app:dev")];
    let case = Case { wanted, strategy: Strategy::Strict, newest: Newest::Prefer, ..case(nodes) };
    case.check(&[
        "in a b",
        "prefer b",
        "main: node c cannot be named: give it the label kubernetes.io/hostname",
        NO_DIFFERENCE,
    ]);
}

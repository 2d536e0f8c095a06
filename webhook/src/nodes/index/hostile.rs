//! A kubelet writes its own Node and can claim anything: it changes nothing for others, and costs little.

use std::{fmt::Write as _, time::Duration};

use serde_json::json;

use super::*;
use crate::{image::Reference, nodes::loaded::LOADED};

/// A Node as text, with these `images` as text.
fn text(name: &str, images: &str, annotation: &str) -> String {
    let annotation = json!(annotation);
    format!(
        r#"{{"metadata":{{"name":"{name}","annotations":{{"{LOADED}":{annotation}}}}},"status":{{"images":{images},
        "nodeInfo":{{"containerRuntimeVersion":"containerd://2.1.4","kubeletVersion":"v1.36.3"}}}}}}"#
    )
}

/// An honest node with one import and one pull.
fn honest() -> String {
    let digest = "1".repeat(64);
    let pulled = format!(r#"{{"names":["docker.io/library/web@sha256:{digest}","docker.io/library/web:1"]}}"#);
    text("honest", &format!(r#"[{{"names":["docker.io/library/app:dev"]}},{pulled}]"#), "")
}

fn node(text: &str) -> Node {
    serde_json::from_str(text).unwrap()
}

/// What is known of an image on nodes other than the hostile one.
fn others(index: &Index, image: &str) -> Vec<(String, Listing)> {
    let image: Reference = image.parse().unwrap();
    let listed = index.listed(&image).map(|(node, listing)| (node.name().to_owned(), listing));
    listed.filter(|(name, _)| name == "honest").collect()
}

/// Takes in what a hostile kubelet writes, many times; nothing changes for the honest node, and it is cheap.
#[track_caller]
fn check(images: &str, annotation: &str) -> Index {
    let mut index = Index::from_nodes([node(&honest())], 50, Now::read());
    let images_of = |index: &Index| ["app:dev", "web:1", "web"].map(|image| others(index, image));
    let before = images_of(&index);
    let hostile = node(&text("hostile", images, annotation));
    let again = node(&text("hostile", &images.replace("docker.io", "quay.io"), annotation));
    let began = Instant::now();
    for turn in [&hostile, &again, &hostile] {
        index.apply(turn);
        assert_eq!(images_of(&index), before);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?} without optimisation", began.elapsed());
    let [nodes, entries, names, ..] = index.sizes();
    assert!(nodes == 2 && entries <= 2_050 && names <= 2_048 * 5 + 3, "{:?}", index.sizes());
    assert!(index.images.kept_bytes() < 4 << 20, "{} bytes of names", index.images.kept_bytes());
    index
}

#[test]
fn a_million_entries_are_read_as_two_thousand() {
    let mut images = "[".to_owned();
    for number in 0..1_000_000 {
        write!(images, r#"{{"names":["docker.io/library/x{number}:1"]}},"#).unwrap();
    }
    images.push_str(r#"{"names":["docker.io/library/last:1"]}]"#);
    let index = check(&images, "");
    assert!(index.is_unknown("hostile"), "a list that was cut proves nothing");
    assert_eq!(index.listed(&"last:1".parse().unwrap()).count(), 0);
}

#[test]
fn one_name_in_all_entries_counts_a_few_times() {
    let mut images = "[".to_owned();
    for number in 0..2_000 {
        write!(images, r#"{{"names":["docker.io/library/app:dev","docker.io/library/x{number}:1"]}},"#).unwrap();
    }
    images.push_str(r#"{"names":["docker.io/library/web:1"]}]"#);
    let index = check(&images, "");
    let app: Reference = "app:dev".parse().unwrap();
    assert!(index.images.holders(&app).count() <= 5, "each costs every review of this image");
    assert_eq!(index.listed(&app).count(), 2);
}

#[test]
fn absurd_names_are_passed_over() {
    let huge = format!("docker.io/library/{}:1", "x".repeat(3 << 20));
    let host = format!("{}/x:1", "a.".repeat(1 << 20));
    let many: Vec<String> = (0..100_000).map(|number| format!("docker.io/library/y{number}:1")).collect();
    let control =
        ["\u{0}", "app:dev\n", "\u{202e}app:dev", "app:dev\u{7f}", " ", "../..:x", "app:dev,b", "$(reboot):1"];
    let images = json!([
        { "names": [huge] }, { "names": [host] }, { "names": many }, { "names": control }, { "names": null }, {},
        { "names": ["docker.io/library/app:dev"], "sizeBytes": i64::MIN }, { "names": [], "sizeBytes": null },
    ]);
    let index = check(&images.to_string(), "");
    let [_, entries, names, ..] = index.sizes();
    assert_eq!((entries, names), (4, 3 + 5), "the hostile app, and five names of the many");
}

#[test]
fn an_absurd_annotation_says_nothing() {
    let many: Vec<String> =
        (0..100_000).map(|number| format!(r#""x:{number}":{{"at":"2026-11-21T08:00:00Z"}}"#)).collect();
    for annotation in [
        format!("{{{}}}", many.join(",")),
        "[".repeat(200_000),
        r#"{"a":"#.repeat(1_000),
        "\u{0}".to_owned(),
        r#"{"docker.io/library/app:dev":{"at":"9999-12-31T23:59:59Z"}}"#.to_owned(),
        r#"{"docker.io/library/app:dev":{"at":"-009999-01-02T00:00:00Z"}}"#.to_owned(),
    ] {
        let index = check("[]", &annotation);
        assert!(index.told.len() <= 32);
    }
    let mut index = Index::from_nodes([node(&honest())], 50, Now::read());
    index.apply(&node(&text("hostile", "[]", &format!("{{{}}}", many[..100].join(",")))));
    assert_eq!(index.told.len(), 32, "the first hundred fit into 8 KiB");
    index.remove("hostile");
    assert_eq!(index.told.len(), 0);
}

//! The promise of `berth mutate -o yaml`: only images and pull policies change, in what a manifest means as well as
//! in its bytes. libyaml says what it means, so that a mistake of our own parser cannot agree with itself.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "a test"
)]

use std::path::Path;

use berth::manifest::{Changes, Manifest, image_changes};
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_json::Value as Json;
use yaml_serde::Value as Yaml;

/// Pins every image that has no digest and may be pulled, as if a registry had them all; sets `policy` where it does.
fn pin(manifest: &Manifest, policy: Option<&str>) -> Vec<Changes> {
    let values: Vec<&Json> = manifest.values().collect();
    let mut changes = vec![Changes::new(); values.len()];
    for subject in manifest.subjects() {
        let before = subject.pod.iter().fold(values[subject.document], |value, step| match value {
            Json::Array(items) => &items[step.parse::<usize>().unwrap()],
            _ => &value[step],
        });
        let mut after = before.clone();
        for list in ["containers", "initContainers", "ephemeralContainers", "volumes"] {
            let items = after.pointer_mut(&format!("/spec/{list}")).and_then(Json::as_array_mut);
            for item in items.into_iter().flatten() {
                let (holder, image, pull_policy) = match list {
                    "volumes" => (item.get_mut("image"), "reference", "pullPolicy"),
                    _ => (Some(item), "image", "imagePullPolicy"),
                };
                let Some(holder) = holder.filter(|holder| holder[pull_policy] != "Never") else { continue };
                if let Some(old) = holder[image].as_str().filter(|old| !old.contains(['@', '\n', '#'])) {
                    holder[image] = format!("{old}{DIGEST}").into();
                    if let Some(policy) = policy {
                        holder[pull_policy] = policy.into();
                    }
                }
            }
        }
        changes[subject.document].extend(image_changes(&subject.pod, before, &after));
    }
    changes
}

/// What libyaml reads, with merge keys merged.
fn meaning(text: &str) -> Vec<Yaml> {
    // libyaml takes a byte order mark before `---` for a part of the first line.
    let text = text.trim_start_matches('\u{feff}');
    yaml_serde::Deserializer::from_str(text).map(|document| merged(Yaml::deserialize(document).expect(text))).collect()
}

/// `Value::apply_merge` forgets what is merged into something that is merged.
fn merged(value: Yaml) -> Yaml {
    match value {
        Yaml::Mapping(mut members) => {
            let mut result = yaml_serde::Mapping::new();
            let bases = match members.remove("<<") {
                Some(Yaml::Sequence(bases)) => bases,
                base => base.into_iter().collect(),
            };
            for base in bases.into_iter().rev() {
                let Yaml::Mapping(base) = merged(base) else { panic!("only mappings are merged") };
                result.extend(base);
            }
            result.extend(members.into_iter().map(|(key, value)| (key, merged(value))));
            Yaml::Mapping(result)
        }
        Yaml::Sequence(items) => items.into_iter().map(merged).collect(),
        other => other,
    }
}

fn set(value: &mut Yaml, path: &[String], new: &str) {
    let Some((step, rest)) = path.split_first() else {
        *value = Yaml::from(new);
        return;
    };
    match value {
        Yaml::Sequence(items) => set(&mut items[step.parse::<usize>().unwrap()], rest, new),
        Yaml::Mapping(members) => set(members.entry(step.as_str().into()).or_insert(Yaml::Null), rest, new),
        other => panic!("nothing can be at {path:?} in {other:?}"),
    }
}

/// Pins the images of a file and compares, before and after, its meaning and its bytes. Returns how many fields changed.
#[track_caller]
fn check(text: &str, policy: Option<&str>) -> usize {
    let (rewritten, count) = check_meaning(text, policy);
    let without = rewritten.replace(DIGEST, "");
    match policy {
        None => assert_eq!(without, text, "bytes besides the images"),
        Some(_) => assert!(is_inside(&text.replace("Always", ""), &without), "bytes were lost:\n{text}\n{without}"),
    }
    count
}

/// The same for its meaning only; returns the rewritten text as well.
#[track_caller]
fn check_meaning(text: &str, policy: Option<&str>) -> (String, usize) {
    let manifest = Manifest::parse(text.as_bytes().to_vec()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let changes = pin(&manifest, policy);
    let rewritten = manifest.rewrite(&changes);
    assert_eq!(rewritten.unchanged, [0; 0], "{text}");

    let mut want = meaning(text);
    for (document, changes) in want.iter_mut().zip(&changes) {
        for (path, new) in changes {
            set(document, path, new);
        }
    }
    assert_eq!(meaning(&rewritten.text), want, "{}", rewritten.text);
    let count = changes.iter().map(Changes::len).sum();
    (rewritten.text, count)
}

/// Whether `text` can be made from `whole` by leaving bytes out.
fn is_inside(text: &str, whole: &str) -> bool {
    let mut rest = whole.bytes();
    text.bytes().all(|byte| rest.any(|other| other == byte))
}

#[test]
fn the_corpus_keeps_its_meaning_and_its_bytes() {
    let images = [
        ("anchors.yaml", 12),
        ("block-scalars.yaml", 2),
        ("comments.yaml", 3),
        ("crlf-bom.yaml", 2),
        ("kinds.yaml", 10),
        ("odd-layout.yaml", 7),
        ("scalars.yaml", 1),
        ("streams.yaml", 4),
        ("unicode.yaml", 2),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, images.map(|(file, _)| file), "every file is checked");
    for (file, want) in images {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(check(&text, None), want, "images of {file}");
        assert!(check(&text, Some("IfNotPresent")) > want, "policies of {file}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_manifest_keeps_its_meaning_and_its_bytes(text in manifest(), policy in any::<bool>()) {
        check(&text, policy.then_some("IfNotPresent"));
    }

    #[test]
    fn whoever_shares_an_anchor_keeps_what_it_meant(text in sharing(), policy in any::<bool>()) {
        check_meaning(&text, policy.then_some("IfNotPresent"));
    }
}

/// A Pod whose containers take their images and themselves from each other. No anchor is used twice: `yaml_serde`
/// confuses those.
fn sharing() -> impl Strategy<Value = String> {
    let container = (0..4, any::<prop::sample::Index>(), prop::option::of(any::<bool>()), any::<bool>());
    prop::collection::vec(container, 1..7).prop_map(|containers| {
        let containers = containers.into_iter().enumerate().map(|(number, (kind, link, never, flow))| {
            let mut pairs = match (kind, number) {
                (0, _) | (_, 0) => vec![format!("image: &i{number} image{number}"), format!("name: n{number}")],
                (1, _) => vec![format!("image: &a{number} again"), format!("args: [*a{number}]")],
                (2, _) => vec!["image: *i0".to_owned(), "name: *label".to_owned(), "tty: *i0".to_owned()],
                (_, _) => vec![format!("<<: *c{}", link.index(number)), format!("name: n{number}")],
            };
            pairs.extend(never.map(|never| format!("imagePullPolicy: {}", if never { "Never" } else { "Always" })));
            if flow {
                return format!("  - &c{number} {{{}}}\n", pairs.join(", "));
            }
            format!("  - &c{number}\n    {}\n", pairs.join("\n    "))
        });
        let head = "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: &label label}}\nspec:\n  containers:\n";
        head.to_owned() + &containers.collect::<String>()
    })
}

/// A file of several documents, as people and tools write them.
fn manifest() -> impl Strategy<Value = String> {
    let documents = prop::collection::vec((document(), comment()), 1..4);
    (documents, any::<bool>(), any::<bool>()).prop_map(|(documents, windows, mark)| {
        let text: String = documents.iter().map(|(text, comment)| format!("---{comment}\n{text}")).collect();
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        if mark { format!("\u{feff}{text}") } else { text }
    })
}

/// A Pod, a Deployment, or something that only looks like one.
fn document() -> impl Strategy<Value = String> {
    let containers = (prop::collection::vec(container(), 1..4), 0..3_usize);
    (0..3, containers, comment(), scalar()).prop_map(|(kind, (containers, indent), comment, scalar)| {
        let spec = |depth: usize| {
            let pad = " ".repeat(depth);
            let items: String = containers.iter().map(|lines| item(lines, depth + indent)).collect();
            format!("{pad}other: {scalar}\n{pad}containers:{comment}\n{items}{pad}mode: 0644{comment}\n")
        };
        match kind {
            0 => format!("apiVersion: v1\nkind: Pod{comment}\nspec:\n{}", spec(2)),
            1 => format!("kind: Deployment\napiVersion: apps/v1\nspec:\n  template:\n    spec:{comment}\n{}", spec(6)),
            _ => format!("kind: ConfigMap\ndata:\n  text: |-\n    kind: Pod\n    spec:\n{}", spec(6)),
        }
    })
}

/// The lines of a container, without indentation.
fn container() -> impl Strategy<Value = Vec<String>> {
    let image = "[a-z]{1,6}(/[a-z]{1,4})?(:[a-z0-9]{1,5})?";
    let pairs = (scalar(), image, image_style(), prop::option::of(Just("imagePullPolicy: Always")));
    (pairs, comment(), 0..4_usize, any::<bool>()).prop_map(|((scalar, image, style, policy), comment, turn, flow)| {
        let pairs = |image: String| {
            let mut pairs = vec![format!("name: {scalar}"), format!("\"key é\": {scalar}"), image];
            pairs.extend(policy.map(str::to_owned));
            let count = pairs.len();
            pairs.rotate_left(turn % count);
            pairs
        };
        match (flow, style) {
            (true, quote) if quote.len() < 2 => {
                vec![format!("{{{}}}{comment}", pairs(format!("image: {quote}{image}{quote}")).join(", "))]
            }
            (_, "|-" | ">-") => {
                let lines = pairs(format!("image: {style}{comment}\n  {image}"));
                lines.iter().flat_map(|pair| pair.split('\n').map(str::to_owned)).collect()
            }
            (_, quote) => {
                let line = pairs(format!("image: {quote}{image}{quote}"));
                line.iter().map(|pair| format!("{pair}{comment}")).collect()
            }
        }
    })
}

/// A container as an item of a block sequence.
fn item(lines: &[String], indent: usize) -> String {
    let pad = " ".repeat(indent);
    let mark = |index| if index == 0 { "- " } else { "  " };
    lines.iter().enumerate().map(|(index, line)| format!("{pad}{}{line}\n", mark(index))).collect()
}

fn image_style() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "'", "\"", "|-", ">-"])
}

/// What YAML 1.1 and 1.2, and careless writers, may take for something else.
fn scalar() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "0644",
        "\"on\"",
        "on",
        "1e3",
        "~",
        "null",
        "",
        "'it''s'",
        "\"ü \\u00e9 🚢\"",
        "1_000",
        "2001-12-14",
        "a#b",
        "'image: x'",
        "!!str 1",
        "&anchor x",
        "\"{{\"",
    ])
}

fn comment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " # image: nginx:latest", "   ", " # 漢字\t{", " #"])
}

const DIGEST: &str = "@sha256:6a1b4e3c5d2f6a1b4e3c5d2f6a1b4e3c5d2f6a1b4e3c5d2f6a1b4e3c5d2f6a1b";

//! What the texts say is what the program does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The steps of a review have the same names, in the same order, in the README, in ARCHITECTURE.md, in the library's
/// introduction and in `admission.rs`; and each is a file.
#[test]
fn the_steps_of_a_review_are_files() {
    let steps = ["decode", "select", "pin", "mirror", "place", "patch", "respond"];
    let flow = steps.join(" → ");
    for file in ["README.md", "ARCHITECTURE.md", "webhook/src/lib.rs", "webhook/src/admission.rs"] {
        let text = read(file).replace("**", "");
        assert!(text.contains(&flow), "{file} does not say {flow}");
    }
    let is_step = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        fs::read_to_string(path).unwrap().starts_with(&format!("//! **{name}** — ")).then_some(name)
    };
    let files: BTreeSet<_> = files_below("webhook/src/admission", "rs").iter().filter_map(is_step).collect();
    assert_eq!(files, steps.map(str::to_owned).into());
}

/// Every configuration in the texts, whole or in part, is one.
#[test]
fn configurations_in_texts_can_be_used() {
    let mut seen = 0;
    for path in texts() {
        for (line, block) in yaml_blocks(&fs::read_to_string(&path).unwrap()) {
            let Some(configuration) = configuration(&block) else { continue };
            seen += 1;
            let place = format!("{}:{line}", path.display());
            let (_, warnings) = berth::config::parse(&configuration, &place).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(warnings, [], "{place}");
        }
    }
    assert!(seen > 3, "{seen} configurations found");
    berth::config::parse(&read("manifests/base/config.yaml"), "manifests/base/config.yaml").unwrap();
}

/// A block that is a configuration, with its first two lines if the text left them out.
fn configuration(block: &str) -> Option<String> {
    let first = block.lines().find(|line| !line.starts_with('#'))?.split(':').next()?;
    if block.contains("kind: Configuration") {
        return Some(block.to_owned());
    }
    let known = known_keys("").contains(first) && first != "apiVersion" && first != "kind";
    known.then(|| format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{block}"))
}

/// No key without an explanation, and none explained that is not there.
#[test]
fn every_key_is_explained() {
    let text = read("docs/configuration.md");
    let mut keys = BTreeSet::new();
    for section in known_keys("").difference(&["apiVersion", "kind"].map(str::to_owned).into()) {
        for (prefix, body) in [
            (section.clone(), format!("{section}: {{x: 1}}")),
            (format!("{section}[]"), format!("{section}: [{{x: 1}}]")),
        ] {
            keys.extend(known_keys(&body).into_iter().map(|key| format!("{prefix}.{key}")));
        }
    }
    for (section, list) in [("mirror", "rules"), ("place", "provided")] {
        keys.remove(&format!("{section}.{list}"));
        let inner = known_keys(&format!("{section}: {{{list}: [{{x: 1}}]}}"));
        keys.extend(inner.into_iter().map(|key| format!("{section}.{list}[].{key}")));
    }
    let explained =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).map(|(key, _)| key.to_owned());
    let explained: BTreeSet<_> =
        explained.filter(|key| text.contains(&format!("| `{key}` |")) && key.contains('.')).collect();
    assert_eq!(explained, keys);
}

/// The keys that may stand where `body` has the unknown key `x`, as the error says; at the top for an empty body.
fn known_keys(body: &str) -> BTreeSet<String> {
    let body = if body.is_empty() { "x: 1" } else { body };
    let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{body}\n");
    let error = berth::config::parse(&text, "x").unwrap_err().to_string();
    let known = error.lines().filter_map(|line| line.split_once("x: there is no such key; here can stand "));
    known.flat_map(|(_, keys)| keys.split(", ")).map(|key| key.trim_matches('`').to_owned()).collect()
}

/// The program knows the arguments that the Deployments give it.
#[test]
fn deployments_start_with_arguments_that_exist() {
    for file in ["webhook.yaml", "controller.yaml"] {
        let text = read(&format!("manifests/base/{file}"));
        let after = text.lines().skip_while(|line| line.trim() != "args:").skip(1);
        let mut arguments: Vec<_> = after.map_while(|line| line.trim().strip_prefix("- ")).collect();
        assert!(arguments.len() > 1, "{file}: {arguments:?}");
        arguments.push("--help"); // what is before it must be right
        let output = Command::new(env!("CARGO_BIN_EXE_berth")).args(&arguments).output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Every label, annotation and gate is explained in the README, and none that is not there.
#[test]
fn every_label_and_annotation_is_explained() {
    let mut used = BTreeSet::new();
    let manifests = [("manifests/base", "yaml"), ("manifests/chart/base", "yaml")];
    for (folder, extension) in
        [("webhook/src/admission", "rs"), ("webhook/src/nodes", "rs")].into_iter().chain(manifests)
    {
        for path in files_below(folder, extension) {
            used.extend(keys(&fs::read_to_string(path).unwrap()));
        }
    }
    assert_eq!(keys(&read("README.md")), used);
}

/// The keys `berth.dev/…` in a text.
fn keys(text: &str) -> BTreeSet<String> {
    let after = text.split("berth.dev/").skip(1);
    let names =
        after.map(|rest| rest.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '-')).next().unwrap());
    names.filter(|name| name.len() > 1).map(str::to_owned).collect() // one letter is the version of the configuration
}

/// The map and the walk through a review name files that are there.
#[test]
fn the_architecture_names_files_that_are_there() {
    let text = read("ARCHITECTURE.md");
    let map = text.lines().filter_map(|line| line.strip_prefix("  src/")).filter_map(|line| line.split(' ').next());
    let walk = text.split('`').filter(|word| is_a(Path::new(word), "rs") && !word.contains(' '));
    let is_there = |file: &&str| ["webhook/src", ""].iter().any(|folder| root().join(folder).join(file).exists());
    let missing: Vec<_> = map.chain(walk).filter(|file| !is_there(file)).collect();
    assert_eq!(missing, [""; 0]);
}

/// Links to files of this repository lead somewhere.
#[test]
fn links_lead_somewhere() {
    for path in texts() {
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !target.contains("://") && !file.is_empty() {
                assert!(path.parent().unwrap().join(file).exists(), "{}: {target}", path.display());
            }
        }
    }
}

/// The lines of each YAML block, without the indentation of the block, and the line that it starts on.
fn yaml_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut indent = None;
    for (number, line) in text.lines().enumerate() {
        match indent {
            None if line.trim_start().starts_with("```yaml") => {
                indent = line.find('`');
                blocks.push((number + 2, String::new()));
            }
            Some(_) if line.trim_start().starts_with("```") => indent = None,
            Some(width) => blocks.last_mut().unwrap().1.extend([line.get(width..).unwrap_or_default(), "\n"]),
            None => (),
        }
    }
    blocks
}

fn texts() -> Vec<PathBuf> {
    let mut texts: Vec<_> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    for folder in ["docs", "manifests"] {
        texts.extend(files_below(folder, "md"));
    }
    texts
}

/// All files in `folder` and its folders.
fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if is_a(&path, extension) {
                files.push(path);
            }
        }
    }
    files
}

fn is_a(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

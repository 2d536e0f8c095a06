//! Small documents, each with one thing that is hard to keep. The corpus is in `tests/manifest.rs`.

use serde_json::json;

use super::*;

/// A Pod whose first container is `container`, in block style, indented as in `  - `.
fn pod(container: &str) -> String {
    format!("kind: Pod\napiVersion: v1\nspec:\n  containers:\n{container}")
}

/// Rewrites `before`: every image `old` becomes `new`, and every image that is so changed gets `policy`, if one is given.
#[track_caller]
fn rewrite(before: &str, policy: Option<&str>) -> Rewritten {
    let manifest = Manifest::parse(before.as_bytes().to_vec()).expect(before);
    let mut changes = vec![Changes::new(); manifest.documents.len()];
    for subject in manifest.subjects() {
        let before = pods::at(&manifest.documents[subject.document].value, &subject.pod).unwrap();
        let mut after = before.clone();
        for list in ["containers", "initContainers"] {
            let containers = after.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter(|container| container["image"] == "old") {
                if container["imagePullPolicy"] != "Never" {
                    container["image"] = json!("new");
                    if let Some(policy) = policy {
                        container["imagePullPolicy"] = json!(policy);
                    }
                }
            }
        }
        changes[subject.document].extend(image_changes(&subject.pod, before, &after));
    }
    manifest.rewrite(&changes)
}

#[track_caller]
fn check(before: &str, want: &str) {
    let rewritten = rewrite(&pod(before), None);
    assert_eq!(rewritten.text, pod(want));
    assert_eq!(rewritten.unchanged, [0; 0], "{before}");
}

#[track_caller]
fn check_policy(before: &str, want: &str) {
    let rewritten = rewrite(&pod(before), Some("IfNotPresent"));
    assert_eq!(rewritten.text, pod(want));
    assert_eq!(rewritten.unchanged, [0; 0], "{before}");
}

#[test]
fn a_scalar_keeps_its_style() {
    check("  - image: old # why\n", "  - image: new # why\n");
    check("  - image: 'old'\n", "  - image: 'new'\n");
    check("  - image: \"\\x6fld\"\t# tab\n", "  - image: \"new\"\t# tab\n");
    check("  - image: |- # old\n      old\n    name: x\n", "  - image: |- # old\n      new\n    name: x\n");
    check("  - image: >-\n      old\n\n\n    name: x\n", "  - image: >-\n      new\n\n\n    name: x\n");
    check("  - image:\n      old\n", "  - image:\n      new\n");
    check("  - ? image\n    : old\n", "  - ? image\n    : new\n");
    check("  - {image: old,name: x}\n", "  - {image: new,name: x}\n");
    check("  - {\"image\":\"old\"}\n", "  - {\"image\":\"new\"}\n");
    check("  - image: !!str old\n", "  - image: !!str new\n");
    check("  - image: !!str &a old\n", "  - image: !!str &a new\n");
    check("  - name: ünïcødé 🚢\n    image: old", "  - name: ünïcødé 🚢\n    image: new");
}

#[test]
fn who_shares_an_anchor_keeps_what_it_meant() {
    // Everybody wants the same: the anchor alone changes.
    check("  - image: &i old\n  - image: *i\n", "  - image: &i new\n  - image: *i\n");
    // A label used the image's text.
    check("  - image: &i old\n    env: [*i]\n", "  - image: &i new\n    env: [old]\n");
    // The image used a label's text.
    check("  - name: &i old\n    image: *i\n", "  - name: &i old\n    image: new\n");
    // Only one of two that share wants it.
    check(
        "  - &c\n    image: old\n  - <<: *c\n    imagePullPolicy: Never\n",
        "  - &c\n    image: new\n  - <<: *c\n    image: old\n    imagePullPolicy: Never\n",
    );
    check(
        "  - &c {image: old, imagePullPolicy: Never}\n  - <<: *c # c\n    imagePullPolicy: Always\n",
        "  - &c {image: old, imagePullPolicy: Never}\n  - <<: *c # c\n    image: new\n    imagePullPolicy: Always\n",
    );
    check(
        "  - &c {image: old, imagePullPolicy: Never}\n  - {<<: [*c], imagePullPolicy: Always}\n",
        "  - &c {image: old, imagePullPolicy: Never}\n  - {<<: [*c], image: new, imagePullPolicy: Always}\n",
    );
    check(
        "  - &c\n    image: old\n  - <<: *c\n    name: x\n  - *c\n",
        "  - &c\n    image: new\n  - <<: *c\n    name: x\n  - *c\n",
    );
    check("  - <<: {image: old}\n", "  - <<: {image: new}\n");
    // An anchor is used again for something else.
    check("  - image: &i old\n    name: &i x\n    args: [*i]\n", "  - image: &i new\n    name: &i x\n    args: [*i]\n");
}

#[test]
fn a_document_that_cannot_be_changed_alone_is_left_alone() {
    for before in ["  - *c\n", "  - *c\n  - image: old\n"] {
        let before = format!("x: &c {{image: old}}\n{}", pod(before));
        let rewritten = rewrite(&before, None);
        assert_eq!((rewritten.text, rewritten.unchanged), (before, vec![0]));
    }
    // The other documents are changed all the same; the key makes the first impossible, which shows only in the result.
    let (shared, other) = (pod("  - image: &i old\n    ? *i\n    : x\n"), pod("  - image: old\n"));
    let file = |other: &str| [&shared, other, other, &shared, other].join("---\n");
    let rewritten = rewrite(&file(&other), None);
    assert_eq!(rewritten.text, file(&pod("  - image: new\n")));
    assert_eq!(rewritten.unchanged, [0, 3]);
}

#[test]
fn a_policy_is_added_beside_the_image() {
    check_policy(
        "  - image: old # why\n    name: x\n",
        "  - image: new # why\n    imagePullPolicy: IfNotPresent\n    name: x\n",
    );
    check_policy("  - name: x\n    image: 'old'", "  - name: x\n    image: 'new'\n    imagePullPolicy: 'IfNotPresent'");
    check_policy(
        "    -   image: |-\n          old\n\n        # c\n        name: x\n",
        "    -   image: |-\n          new\n        imagePullPolicy: IfNotPresent\n\n        # c\n        name: x\n",
    );
    check_policy(
        "  - image: old\r\n    name: x\r\n",
        "  - image: new\r\n    imagePullPolicy: IfNotPresent\r\n    name: x\r\n",
    );
    check_policy("  - {image: old, name: x}\n", "  - {image: new, imagePullPolicy: IfNotPresent, name: x}\n");
    check_policy(
        "  - {\n      \"image\": \"old\"\n    }\n",
        "  - {\n      \"image\": \"new\",\n      \"imagePullPolicy\": \"IfNotPresent\"\n    }\n",
    );
    check_policy(
        "  - &c\n    image: old\n  - <<: *c\n    name: x\n",
        "  - &c\n    image: new\n    imagePullPolicy: IfNotPresent\n  - <<: *c\n    imagePullPolicy: IfNotPresent\n    name: x\n",
    );
    check_policy(
        "  - name: &i old\n    image: *i\n",
        "  - name: &i old\n    image: new\n    imagePullPolicy: IfNotPresent\n",
    );
}

#[test]
fn a_policy_that_stands_there_is_replaced() {
    check_policy(
        "  - image: old\n    imagePullPolicy: Always\n",
        "  - image: new\n    imagePullPolicy: IfNotPresent\n",
    );
    check_policy(
        "  - image: old\n    imagePullPolicy: # c\n",
        "  - image: new\n    imagePullPolicy: IfNotPresent # c\n",
    );
    check_policy("  - image: old\n    imagePullPolicy:\n", "  - image: new\n    imagePullPolicy: IfNotPresent\n");
    check_policy(
        "  - image: old\n    imagePullPolicy: \"\"\n",
        "  - image: new\n    imagePullPolicy: \"IfNotPresent\"\n",
    );
    check_policy("  - image: old\n    imagePullPolicy: null\n", "  - image: new\n    imagePullPolicy: IfNotPresent\n");
}

#[test]
fn json_is_changed_in_place() {
    let object = |image: &str| {
        format!(
            "{{\n\t\"kind\": \"Pod\", \"apiVersion\": \"v1\",\n\t\"spec\": {{\"containers\": [{{\"image\": \"{image}\", \"x\": \"\\/\\ud834\\udd1e\"}}]}}\n}}"
        )
    };
    let (before, after) = (object("old"), object("new"));
    assert_eq!(rewrite(&before, None).text, after);
    assert_eq!(rewrite(&format!("{before}\n{before}"), None).text, format!("{after}\n{after}"), "objects in a row");
}

#[track_caller]
fn check_broken(text: &str, want: &str) {
    let error = Manifest::parse(text.as_bytes().to_vec()).expect_err(text).to_string();
    assert!(error.starts_with(want), "{text:?}: {error}");
}

#[test]
fn what_is_no_yaml_is_said_with_its_place() {
    check_broken("a: b\n\tc: d\n", "1:4: while scanning a plain scalar, found a tab");
    check_broken("a: [1\nb: 2\n", "2:");
    check_broken("a: *nobody\n", "1:4: ");
    check_broken(
        "a: 1\nimage: {{ .Values.image }}\n",
        "2:9: this key is no text (this looks like a template: render it first",
    );
    check_broken("{{- if .Values.x }}\na: 1\n{{- end }}\n", "1:3: ");
    check_broken("a: &a [*a]\n", "1:7: it nests too deeply");
    check_broken("a: &a\n  <<: *a\n", "2:3: it nests too deeply");
    check_broken("a: 1\n<<: 2\n", "2:5: `<<` can only merge mappings");
    assert_eq!(Manifest::parse(b"a: \xff".to_vec()).unwrap_err().to_string(), "1:4: the file is not encoded in UTF-8");
}

#[test]
fn aliases_that_expand_to_billions_are_refused() {
    let level = |number: usize| format!("a{number}: &a{number} [{}]", vec![format!("*a{}", number - 1); 10].join(","));
    let lines: Vec<_> = std::iter::once("a0: &a0 x".to_owned()).chain((1..12).map(level)).collect();
    let error = Manifest::parse(lines.join("\n").into_bytes()).unwrap_err();
    assert!(error.what.contains("expand to too much"), "{error}");
}

#[test]
fn the_difference_is_one_that_patch_takes() {
    let padding = "# 1\n# 2\n# 3\n# 4\n";
    let before = format!("{}{padding}{padding}{}", pod("  - image: old\n"), "---\nkind: Service\n");
    let manifest = Manifest::parse(before.into_bytes()).unwrap();
    let path = ["spec", "containers", "0"].map(str::to_owned);
    let changes = Changes::from([
        (pods::joined(&path, &["image"]), "new".to_owned()),
        (pods::joined(&path, &["imagePullPolicy"]), "Never".to_owned()),
    ]);
    let rewritten = manifest.rewrite(&[changes, Changes::new()]);
    let want = "--- x.yaml\n+++ x.yaml\n@@ -2,7 +2,8 @@\n apiVersion: v1\n spec:\n   containers:\n\
                -  - image: old\n+  - image: new\n+    imagePullPolicy: Never\n # 1\n # 2\n # 3\n";
    assert_eq!(manifest.diff("x.yaml", &rewritten), want);
    assert_eq!(manifest.diff("x.yaml", &manifest.rewrite(&[Changes::new(), Changes::new()])), "");
}

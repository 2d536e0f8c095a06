use super::*;

/// The metadata after writing, twice: the second time must yield no operation.
fn written(before: &Value, fill: impl Fn(&mut Metadata<'static>)) -> Value {
    let mut pod = json!({ "metadata": before });
    for round in 0..2 {
        let mut operations = Vec::new();
        let text = pod["metadata"].to_string();
        let mut metadata = Metadata::default();
        fill(&mut metadata);
        metadata.write(&serde_json::from_str(&text).unwrap(), &mut operations);
        assert!(round == 0 || operations.is_empty(), "{operations:?}");
        json_patch::patch(&mut pod, &operations).unwrap();
    }
    pod["metadata"].clone()
}

#[test]
fn parents_are_created_and_neighbours_kept() {
    let fill = |metadata: &mut Metadata<'_>| metadata.note(&[Note::attention("look")]);
    let expected = json!({"annotations": {NOTES: "look"}, "labels": {ATTENTION: "true"}});
    assert_eq!(written(&json!({}), fill), expected);
    assert_eq!(written(&json!({"annotations": null, "labels": {}}), fill), expected);
    let kept = written(&json!({"annotations": {"a/b~c": "d"}, "labels": {"e": "f"}}), fill);
    assert_eq!(kept, json!({"annotations": {"a/b~c": "d", NOTES: "look"}, "labels": {"e": "f", ATTENTION: "true"}}));
}

#[test]
fn the_label_tells_a_pod_that_only_waits_from_one_that_needs_more() {
    let label = |before: Option<&str>, notes: &[Note]| {
        let after = written(&json!({"labels": before.map(|value| json!({ATTENTION: value}))}), |m| m.note(notes));
        after["labels"][ATTENTION].as_str().map(str::to_owned)
    };
    let (waits, look) = (Note::attention("waits, since no node has it").about("main"), Note::attention("look"));
    let info = Note::info("no registry has it");
    assert_eq!(label(None, std::slice::from_ref(&info)), None);
    assert_eq!(label(None, &[info, waits.clone()]).as_deref(), Some("waiting"));
    assert_eq!(label(None, &[waits.clone(), look.clone()]).as_deref(), Some("true"));
    assert_eq!(label(Some("waiting"), &[look]).as_deref(), Some("true"));
    assert_eq!(label(Some("true"), &[waits]).as_deref(), Some("true"), "of another review");
}

#[test]
fn lines_are_added_once_and_never_beyond_the_limit() {
    let notes: Vec<_> = (0..100).map(|number| Note::info(format!("{number}\n{}", "x".repeat(40)))).collect();
    let after = written(&json!({"annotations": {NOTES: "kept"}}), |metadata| metadata.note(&notes));
    let text = after["annotations"][NOTES].as_str().unwrap();
    assert!(text.starts_with("kept\n0 xxx") && text.len() <= NOTES_LIMIT && text.lines().count() > 10, "{text}");
}

#[test]
fn the_first_image_is_the_original() {
    let before = json!({"annotations": {ORIGINAL_IMAGES: r#"{"c":"nginx"}"#}});
    let after = written(&before, |metadata| {
        metadata.replaced("c", "nginx@sha256:1");
        metadata.replaced("new", "redis");
    });
    assert_eq!(after["annotations"][ORIGINAL_IMAGES], r#"{"c":"nginx","new":"redis"}"#);
    let forged = json!({"annotations": {ORIGINAL_IMAGES: "[not a map"}});
    let after = written(&forged, |metadata| metadata.replaced("c", "nginx"));
    assert_eq!(after["annotations"][ORIGINAL_IMAGES], r#"{"c":"nginx"}"#);
}

#[test]
fn after_the_wait_nothing_says_that_the_pod_waits() {
    let waits = "main: waits, since no node has a:1: load it";
    let after = |notes: &str, label: &str, attention: bool, placed: bool| {
        let labels = json!({ "app": "web", GATED_LABEL: "true", ATTENTION: label });
        let mut pod = json!({ "metadata": { "annotations": { NOTES: notes, "a": "b" }, "labels": labels } });
        let text = pod["metadata"].to_string();
        let note = Note { attention, ..Note::info("waited until b had it") };
        let operations = after_wait(&serde_json::from_str(&text).unwrap(), &[note], placed);
        json_patch::patch(&mut pod, &operations).unwrap();
        assert_eq!(pod["metadata"]["annotations"]["a"], "b");
        let labels = pod["metadata"]["labels"].as_object().unwrap();
        assert!(labels.get(ATTENTION).is_none_or(|value| value == "true"), "{labels:?}");
        let labels = labels.keys().cloned().collect::<Vec<_>>().join(" ");
        (pod["metadata"]["annotations"][NOTES].as_str().unwrap().to_owned(), labels)
    };
    let over = "waited until b had it";
    assert_eq!(after(waits, WAITING, false, false), (over.into(), "app".into()));
    assert_eq!(after(waits, WAITING, true, true), (over.into(), format!("app {ATTENTION} {PLACED_LABEL}")));
    let informed = format!("main: no registry has it\n{waits}");
    let kept = format!("main: no registry has it\n{over}");
    assert_eq!(after(&informed, WAITING, false, true), (kept, format!("app {PLACED_LABEL}")));
    let other = format!("side: the registry is down\n{waits}\nsays waits, since: kept");
    let kept = format!("side: the registry is down\nsays waits, since: kept\n{over}");
    assert_eq!(after(&other, TRUE, false, true), (kept, format!("app {ATTENTION} {PLACED_LABEL}")));
}

#[test]
fn a_pod_without_labels_and_notes_can_go_as_well() {
    let mut pod = json!({ "metadata": {} });
    let operations = after_wait(&decode::Metadata::default(), &[Note::info("over")], true);
    json_patch::patch(&mut pod, &operations).unwrap();
    let expected = json!({ "annotations": { NOTES: "over" }, "labels": { PLACED_LABEL: "true" } });
    assert_eq!(pod["metadata"], expected);
    assert_eq!(after_wait(&decode::Metadata::default(), &[], false), []);
}

#[test]
fn hints_give_way_where_annotations_are_nearly_full() {
    let full = json!({"annotations": {"big": "x".repeat(ANNOTATIONS_LIMIT)}});
    let after = written(&full, |metadata| metadata.replaced("c", "nginx"));
    assert!(after["annotations"].get(ORIGINAL_IMAGES).is_none());
    let after = written(&json!({}), |metadata| metadata.replaced("c", Box::leak("x".repeat(ORIGINALS_LIMIT).into())));
    assert!(after.get("annotations").is_none());
}

#[test]
fn what_no_registry_had_is_said_once_and_never_beyond_the_limit() {
    let list = |before: &Value, images: &[String]| {
        let fill = |metadata: &mut Metadata<'static>| {
            for image in images {
                metadata.local(Box::leak(image.as_str().into()));
            }
        };
        written(before, fill)["annotations"][LOCAL_IMAGES].as_str().map(str::to_owned)
    };
    let strangers = json!({"annotations": {LOCAL_IMAGES: "a stranger's"}});
    let few = ["web:dev", "app:dev", "web:dev"].map(str::to_owned);
    assert_eq!(list(&strangers, &few).as_deref(), Some("app:dev,web:dev"));
    let many: Vec<_> = (100..200).map(|number| format!("{number}{}", "x".repeat(100))).collect();
    let text = list(&json!({}), &many).unwrap();
    assert!(text.len() <= LOCAL_LIMIT && text.split(',').count() == LOCAL_LIMIT / 104, "{text}");
    assert_eq!(list(&json!({}), &[]), None);
}

//! Kustomize and Helm make the same objects, but for what only one of them can have.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use berth_tests::manifests::{kustomized, objects, templated, title, values};
use serde_json::{Value, json};

#[tokio::test]
async fn the_default_values_are_the_base() {
    check("base", &[]).await.unwrap();
}

#[tokio::test]
async fn the_values_for_development_are_that_overlay() {
    check("overlays/dev", &[&values("values-dev.yaml")]).await.unwrap();
}

#[tokio::test]
async fn the_values_for_production_are_that_overlay() {
    check("overlays/production", &[&values("values-production.yaml")]).await.unwrap();
}

#[tokio::test]
async fn the_values_for_cert_manager_are_that_overlay() {
    let flags = [&values("values-production.yaml"), "--set=certManager.enabled=true"];
    check("overlays/cert-manager", &flags).await.unwrap();
}

/// Berth's namespace is wherever Helm's release is: nothing speaks of another.
#[tokio::test]
async fn in_another_namespace_nothing_speaks_of_the_usual_one() {
    let output = berth_tests::manifests::template("elsewhere", &["--set=certManager.enabled=true"]).await.unwrap();
    let elsewhere = String::from_utf8(output.stdout).unwrap();
    assert!(!elsewhere.contains("berth-system"), "{elsewhere}");
    let renamed = objects(&elsewhere.replace("elsewhere", "berth-system")).unwrap();
    let usual = objects(&templated(&["--set=certManager.enabled=true"]).await.unwrap()).unwrap();
    assert_eq!(differences(&by_title(usual), &by_title(renamed)), Vec::<String>::new());
}

/// What says no namespace lands in whichever the person who applies it is in.
#[tokio::test]
async fn every_object_says_its_namespace() {
    let cluster_wide = [
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ];
    for folder in ["base", "overlays/dev", "overlays/production", "overlays/cert-manager"] {
        for object in objects(&kustomized(folder).await.unwrap()).unwrap() {
            let wide = cluster_wide.contains(&object["kind"].as_str().unwrap());
            assert_eq!(object["metadata"]["namespace"].is_null(), wide, "{folder}: {}", title(&object));
        }
    }
}

/// Without that, two empty lists would be the same, too.
#[tokio::test]
async fn a_difference_is_seen_and_says_where_it_is() {
    let base = by_title(kustomize("base").await.unwrap());
    let mut other = base.clone();
    let deployment = other.get_mut("Deployment berth-system/berth-webhook").unwrap();
    deployment["spec"]["replicas"] = json!(3);
    deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array_mut().unwrap().pop();
    other.get_mut("ClusterRole berth-webhook").unwrap()["rules"][0]["verbs"] = json!(["list", "watch", "get"]);
    other.remove("Service berth-system/berth-webhook");
    other.insert("Pod stray".to_owned(), json!({}));
    assert_eq!(
        differences(&base, &other),
        [
            "ClusterRole berth-webhook: /rules/0/verbs/2: only by Helm: \"get\"",
            "Deployment berth-system/berth-webhook: /spec/replicas: 2 by kustomize, 3 by Helm",
            "Deployment berth-system/berth-webhook: /spec/template/spec/containers/0/args/3: only by kustomize: \
             \"--status-listen=[::]:8080\"",
            "Pod stray: only by Helm",
            "Service berth-system/berth-webhook: only by kustomize",
        ]
    );
}

async fn check(folder: &str, flags: &[&str]) -> anyhow::Result<()> {
    let (kustomize, helm) = (by_title(kustomize(folder).await?), by_title(helm(flags).await?));
    let differences = differences(&kustomize, &helm);
    assert!(differences.is_empty(), "{folder} and helm template {flags:?} differ:\n{}", differences.join("\n"));
    println!("{folder}: {} objects are the same by kustomize and by Helm", kustomize.len());
    Ok(())
}

/// Without the namespace, which Helm leaves to `--create-namespace`, and without the hash in the `ConfigMap`'s name.
async fn kustomize(folder: &str) -> anyhow::Result<Vec<Value>> {
    let text = kustomized(folder).await?;
    let map = objects(&text)?.into_iter().find(|object| object["kind"] == "ConfigMap").context("no ConfigMap")?;
    let hashed = map["metadata"]["name"].as_str().context("it has no name")?;
    let mut objects = objects(&text.replace(&format!("name: {hashed}\n"), "name: berth\n"))?;
    objects.retain(|object| object["kind"] != "Namespace");
    objects.iter_mut().try_for_each(read_configuration)?;
    Ok(objects)
}

/// Without hooks, Helm's own labels, and the annotation that rolls the Pods when the configuration changes.
async fn helm(flags: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut objects = objects(&templated(flags).await?)?;
    objects.retain(|object| object["metadata"]["annotations"]["helm.sh/hook"].is_null());
    for object in &mut objects {
        let title = title(object);
        let labels = object["metadata"]["labels"].as_object_mut().with_context(|| format!("{title} has no labels"))?;
        for own in ["helm.sh/chart", "app.kubernetes.io/managed-by"] {
            labels.remove(own).with_context(|| format!("{title} lacks {own}"))?;
        }
        if object["kind"] == "Deployment" {
            let template = object["spec"]["template"]["metadata"].as_object_mut().context("no template")?;
            let annotations = template.remove("annotations").context("no annotations")?;
            let names: Vec<_> =
                annotations.as_object().into_iter().flat_map(|annotations| annotations.keys()).collect();
            assert_eq!(names, ["checksum/config"], "{object}");
        }
        read_configuration(object)?;
    }
    Ok(objects)
}

/// A file is what it says, not how it is laid out.
fn read_configuration(object: &mut Value) -> anyhow::Result<()> {
    if let Some(file) = object.pointer_mut("/data/config.yaml") {
        let [read] = objects(file.as_str().context("a file is text")?)?.try_into().ok().context("one document")?;
        *file = read;
    }
    Ok(())
}

fn by_title(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let count = objects.len();
    let titled: BTreeMap<_, _> = objects.into_iter().map(|object| (title(&object), object)).collect();
    assert_eq!(titled.len(), count, "two objects have the same name");
    titled
}

/// A line for each place where they differ.
fn differences(kustomize: &BTreeMap<String, Value>, helm: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for title in kustomize.keys().chain(helm.keys()).collect::<BTreeSet<_>>() {
        match (kustomize.get(title), helm.get(title)) {
            (Some(one), Some(other)) => compare(title, "", one, other, &mut lines),
            (None, _) => lines.push(format!("{title}: only by Helm")),
            (_, None) => lines.push(format!("{title}: only by kustomize")),
        }
    }
    lines
}

/// Compares the values at `path`.
fn compare(title: &str, path: &str, kustomize: &Value, helm: &Value, lines: &mut Vec<String>) {
    let (ours, theirs) = match (kustomize, helm) {
        (one, other) if one == other => return,
        (Value::Object(one), Value::Object(other)) => (
            one.iter().map(|(key, value)| (key.clone(), value)).collect(),
            other.iter().map(|(key, value)| (key.clone(), value)).collect(),
        ),
        (Value::Array(one), Value::Array(other)) => (numbered(one), numbered(other)),
        _ => return lines.push(format!("{title}: {path}: {kustomize} by kustomize, {helm} by Helm")),
    };
    for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let path = format!("{path}/{key}");
        match (ours.get(key), theirs.get(key)) {
            (Some(one), Some(other)) => compare(title, &path, one, other, lines),
            (Some(one), None) => lines.push(format!("{title}: {path}: only by kustomize: {one}")),
            (_, other) => {
                lines.push(format!("{title}: {path}: only by Helm: {}", other.copied().unwrap_or(&Value::Null)));
            }
        }
    }
}

fn numbered(values: &[Value]) -> BTreeMap<String, &Value> {
    values.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
}

//! Where a document holds Pods and Pod templates.

use serde_json::Value;

use super::Changes;

/// A Pod or Pod template, and the object that it is a part of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    /// The document's place in its file, from 0.
    pub document: usize,
    /// Where in the document the object is: keys and numbers, empty for the document itself.
    pub object: Vec<String>,
    /// Where in the document the Pod or the template is: what has `metadata` and `spec`.
    pub pod: Vec<String>,
    /// The object's kind.
    pub kind: String,
    /// The object's name; what `generateName` says and an ellipsis where it has none yet.
    pub name: String,
    /// The object's namespace, if it says one.
    pub namespace: Option<String>,
    /// It is a template in another object, not a Pod.
    pub template: bool,
}

impl Subject {
    /// The Pod or the template in its document.
    pub fn pod_in<'v>(&self, document: &'v mut Value) -> Option<&'v mut Value> {
        at_mut(document, &self.pod)
    }
}

/// The Pods and Pod templates of a document, lists included, in order.
pub(super) fn find(document: usize, value: &Value) -> Vec<Subject> {
    let mut found = Vec::new();
    look(document, value, Vec::new(), &Said::default(), &mut found);
    found
}

/// What a list says for items that say nothing themselves: a `PodList` holds Pods.
#[derive(Default)]
struct Said<'v> {
    api_version: &'v str,
    kind: &'v str,
}

fn look(document: usize, value: &Value, path: Vec<String>, said: &Said<'_>, found: &mut Vec<Subject>) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let api_version = text("apiVersion").unwrap_or(said.api_version);
    let kind = text("kind").unwrap_or(said.kind);
    if let (Some(item_kind), Some(Value::Array(items))) = (kind.strip_suffix("List"), value.get("items")) {
        let said = Said { api_version, kind: item_kind };
        for (index, item) in items.iter().enumerate() {
            look(document, item, joined(&path, &["items", &index.to_string()]), &said, found);
        }
        return;
    }
    let Some(inside) = template_path(api_version, kind) else { return };
    let pod = joined(&path, inside);
    if !at(value, inside).is_some_and(Value::is_object) {
        return; // the API server refuses it; nothing here for Berth
    }
    let metadata = |key: &str| value.get("metadata")?.get(key)?.as_str().map(str::to_owned);
    let name = metadata("name").or_else(|| metadata("generateName").map(|start| start + "…"));
    found.push(Subject {
        document,
        object: path,
        pod,
        kind: kind.to_owned(),
        name: name.unwrap_or_else(|| "(unnamed)".to_owned()),
        namespace: metadata("namespace").filter(|namespace| !namespace.is_empty()),
        template: !inside.is_empty(),
    });
}

/// Where objects of a kind keep their Pod: itself, or a template. None for kinds that have none.
fn template_path(api_version: &str, kind: &str) -> Option<&'static [&'static str]> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "PodTemplate") => Some(&["template"]),
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "DaemonSet")
        | ("apps", "StatefulSet")
        | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// The fields of `after`, a Pod or template at `pod`, that name an image or a pull policy and are not as in `before`.
pub fn image_changes(pod: &[String], before: &Value, after: &Value) -> Changes {
    let mut changes = Changes::new();
    for (list, fields) in IMAGE_FIELDS {
        let count = at(after, &["spec", list]).and_then(Value::as_array).map_or(0, Vec::len);
        for (index, field) in (0..count).flat_map(|index| fields.iter().map(move |field| (index, field))) {
            let index = index.to_string();
            let path = [&["spec", list, index.as_str()], *field].concat();
            let new = at(after, &path).and_then(Value::as_str);
            if let Some(new) = new.filter(|new| at(before, &path).and_then(Value::as_str) != Some(new)) {
                changes.insert(joined(pod, &path), new.to_owned());
            }
        }
    }
    changes
}

/// The value at `path`.
pub(super) fn at<'v, S: AsRef<str>>(value: &'v Value, path: &[S]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.as_ref().parse::<usize>().ok()?),
        _ => value.get(step.as_ref()),
    })
}

/// The value at `path`, to change it.
pub(super) fn at_mut<'v, S: AsRef<str>>(value: &'v mut Value, path: &[S]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Array(items) => items.get_mut(step.as_ref().parse::<usize>().ok()?),
        _ => value.get_mut(step.as_ref()),
    })
}

pub(super) fn joined(path: &[String], more: &[&str]) -> Vec<String> {
    path.iter().cloned().chain(more.iter().map(|step| (*step).to_owned())).collect()
}

/// Everything in a Pod that names an image, with its pull policy: the lists, and the fields of their items.
const IMAGE_FIELDS: [(&str, [&[&str]; 2]); 4] = [
    ("initContainers", [&["image"], &["imagePullPolicy"]]),
    ("containers", [&["image"], &["imagePullPolicy"]]),
    ("ephemeralContainers", [&["image"], &["imagePullPolicy"]]),
    ("volumes", [&["image", "reference"], &["image", "pullPolicy"]]),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(document: &Value, want: &[(&str, &str, bool)]) {
        let found = find(0, document);
        let found: Vec<_> =
            found.iter().map(|subject| (subject.name.as_str(), subject.pod.join("/"), subject.template)).collect();
        let want: Vec<_> = want.iter().map(|(name, pod, template)| (*name, (*pod).to_owned(), *template)).collect();
        assert_eq!(found, want, "{document}");
    }

    fn object(api_version: &str, kind: &str, spec: &Value) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec})
    }

    #[test]
    fn every_kind_that_makes_pods_is_known() {
        let template = json!({"template": {"spec": {}}});
        check(&object("v1", "Pod", &json!({})), &[("x", "", false)]);
        for (api_version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "ReplicaSet"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("batch/v1", "Job"),
            ("v1", "ReplicationController"),
        ] {
            check(&object(api_version, kind, &template), &[("x", "spec/template", true)]);
        }
        let cron = object("batch/v1", "CronJob", &json!({"jobTemplate": {"spec": template}}));
        check(&cron, &[("x", "spec/jobTemplate/spec/template", true)]);
        let pod_template =
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": {}});
        check(&pod_template, &[("x", "template", true)]);
    }

    #[test]
    fn kinds_of_others_are_left_alone() {
        check(&object("batch.volcano.sh/v1alpha1", "Job", &json!({"template": {}})), &[]);
        check(&object("v1", "ConfigMap", &json!({"template": {}})), &[]);
        check(&object("apps/v1", "Deployment", &json!({"template": "text"})), &[]);
        check(&json!(["Pod"]), &[]);
        check(&Value::Null, &[]);
    }

    #[test]
    fn lists_are_searched_and_speak_for_their_items() {
        let pod = object("v1", "Pod", &json!({}));
        let nameless = json!({"metadata": {"generateName": "job-"}});
        check(&json!({"apiVersion": "v1", "kind": "PodList", "items": [nameless]}), &[("job-…", "items/0", false)]);
        let inner = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, pod]});
        check(&json!({"apiVersion": "v1", "kind": "List", "items": [inner]}), &[("x", "items/0/items/1", false)]);
        let resources = json!({"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": [object("v1", "Pod", &json!({}))]});
        check(&resources, &[("x", "items/0", false)]);
    }
}

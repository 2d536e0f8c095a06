//! The API's own schema of a Pod: whatever names an image there must be something that Berth selects.

use std::collections::BTreeSet;

use berth::admission::{Moment, Subject, decode, select::select};

use super::*;

#[tokio::test]
async fn berth_selects_every_field_that_names_an_image_in_the_schema_of_the_api() {
    let client = world().await.cluster.client().await.unwrap();
    let request = http::Request::get("/openapi/v3/api/v1").body(Vec::new()).unwrap();
    let document: Value = client.request(request).await.unwrap();
    let mut walk = Walk { schemas: &document["components"]["schemas"], found: BTreeSet::new() };
    walk.schema("io.k8s.api.core.v1.PodSpec", "/spec", &mut Vec::new());
    let named: BTreeSet<_> = walk.found.iter().map(String::as_str).filter(|path| !is_no_image(path)).collect();

    // A Pod that has an image at each of these paths, and one more of each kind that is known today.
    let mut pod = json!({});
    for path in named.iter().chain(&KNOWN) {
        fill(&mut pod, path);
    }
    let text = pod.to_string();
    let pod: decode::Pod<'_> = serde_json::from_str(&text).unwrap();
    let subject = Subject { pod: &pod, old: None, namespace: "any", moment: Moment::Create, proven: false };
    let slots = select(&subject);
    let selected: BTreeSet<_> = slots.iter().map(|slot| slot.field.image_pointer().replace("/0", "/*")).collect();
    assert_eq!(named, selected.iter().map(String::as_str).collect());
    assert_eq!(named, KNOWN.into(), "the walk finds what is known");
}

/// Collects the paths of all strings that have to do with images, by their own name or that of an object around them.
struct Walk<'a> {
    schemas: &'a Value,
    found: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    /// Walks through the schema `name`, which stands at `path`; `around` are the schemas that it stands in.
    fn schema(&mut self, name: &'a str, path: &str, around: &mut Vec<&'a str>) {
        if around.contains(&name) {
            return;
        }
        around.push(name);
        self.node(&self.schemas[name], path, around);
        around.pop();
    }

    fn node(&mut self, node: &'a Value, path: &str, around: &mut Vec<&'a str>) {
        if let Some(name) = node["$ref"].as_str() {
            self.schema(name.trim_start_matches("#/components/schemas/"), path, around);
        }
        for part in ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| node[key].as_array()).flatten() {
            self.node(part, path, around);
        }
        for (key, property) in node["properties"].as_object().into_iter().flatten() {
            self.node(property, &format!("{path}/{key}"), around);
        }
        for items in [&node["items"], &node["additionalProperties"]].into_iter().filter(|items| items.is_object()) {
            self.node(items, &format!("{path}/*"), around);
        }
        let told = node["description"].as_str().unwrap_or_default().to_lowercase();
        let tells = ["container image", "image reference", "oci artifact"].iter().any(|words| told.contains(words));
        if node["type"] == "string" && (path.to_lowercase().contains("image") || tells) {
            self.found.insert(path.to_owned());
        }
    }
}

/// Puts an image at `path`, and what Berth needs to read the objects on the way.
fn fill(value: &mut Value, path: &str) {
    let Some(rest) = path.strip_prefix('/') else {
        *value = json!("nginx");
        return;
    };
    let (key, rest) = rest.find('/').map_or((rest, ""), |end| rest.split_at(end));
    if key == "*" {
        if value.is_null() {
            *value = json!([{"name": "any"}]);
        }
        fill(&mut value[0], rest);
    } else {
        fill(&mut value[key], rest);
    }
}

/// What has to do with images, or is described by means of one, and names none.
fn is_no_image(path: &str) -> bool {
    let field = path.rsplit('/').next().unwrap_or_default();
    ["imagePullPolicy", "pullPolicy", "workingDir", "supplementalGroupsPolicy"].contains(&field)
        || path == "/spec/imagePullSecrets/*/name"
        || path == "/spec/volumes/*/rbd/image" // a block device of Ceph
}

/// What Kubernetes 1.36 has.
const KNOWN: [&str; 4] = [
    "/spec/containers/*/image",
    "/spec/ephemeralContainers/*/image",
    "/spec/initContainers/*/image",
    "/spec/volumes/*/image/reference",
];

//! What holds for any Pod: a second review changes nothing, also after other webhooks; nothing else ever changes.

use std::{cell::RefCell, collections::BTreeSet, sync::LazyLock};

use berth::registry::Error;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::{Builder, Runtime};

use super::*;

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn a_second_review_changes_nothing(object in any_pod(), gates in any::<bool>()) {
        let (once, response) = block_on(create(busy(gates), &object));
        prop_assert_eq!(&response["allowed"], true);
        let again = block_on(ask(busy(gates), Mode::Enforce, &review_of(&once)));
        prop_assert!(again.get("patch").is_none(), "{again}\nfor {once}");
    }

    #[test]
    fn a_container_that_another_webhook_inserts_is_the_only_one_that_changes(
        object in any_pod(), image in any_image(), gates in any::<bool>(),
    ) {
        let (mut once, _) = block_on(create(busy(gates), &object));
        let injected = json!({"name": "injected", "image": image, "imagePullPolicy": "IfNotPresent"});
        once["spec"]["containers"].as_array_mut().unwrap().insert(0, injected);
        let (mut twice, _) = block_on(create(busy(gates), &once));
        for pod in [&mut once, &mut twice] {
            pod["spec"]["containers"].as_array_mut().unwrap().remove(0);
        }
        for list in ["containers", "initContainers", "volumes"] {
            prop_assert_eq!(&twice["spec"][list], &once["spec"][list]);
        }
    }
}

#[test]
fn everything_outside_the_patched_paths_is_unchanged() {
    let patched = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(cases(5_000));
    let outcome = runner.run(&(any_pod(), any::<bool>()), |(object, gates)| {
        let (after, response) = block_on(create(busy(gates), &object));
        patched.borrow_mut().extend(patch_of(&response).iter().map(kind_of_operation));
        prop_assert_eq!(without_ours(after), without_ours(object));
        Ok(())
    });
    outcome.unwrap();
    // Else the property would say less than it seems to.
    assert_eq!(patched.into_inner(), EVERY_KIND_OF_OPERATION.map(str::to_owned).into());
}

/// The operation and its path, without the places in lists.
fn kind_of_operation(operation: &Value) -> String {
    let path = operation["path"].as_str().unwrap().split('/');
    let path: Vec<_> = path.map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect();
    format!("{} {}", operation["op"].as_str().unwrap(), path.join("/"))
}

/// All that Berth ever writes into a Pod.
const EVERY_KIND_OF_OPERATION: [&str; 26] = [
    "add /metadata/annotations",
    "add /metadata/annotations/berth.dev~1local-images",
    "add /metadata/annotations/berth.dev~1notes",
    "add /metadata/annotations/berth.dev~1original-images",
    "add /metadata/labels",
    "add /metadata/labels/berth.dev~1attention",
    "add /metadata/labels/berth.dev~1gated",
    "add /metadata/labels/berth.dev~1placed",
    "add /spec/affinity",
    "add /spec/affinity/nodeAffinity",
    "add /spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution",
    "add /spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution/-",
    "add /spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
    "add /spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/*/matchExpressions",
    "add /spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/*/matchExpressions/-",
    "add /spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/-",
    "add /spec/containers/*/imagePullPolicy",
    "add /spec/imagePullSecrets",
    "add /spec/imagePullSecrets/-",
    "add /spec/initContainers/*/imagePullPolicy",
    "add /spec/schedulingGates",
    "add /spec/schedulingGates/-",
    "add /spec/volumes/*/image/pullPolicy",
    "replace /spec/containers/*/image",
    "replace /spec/initContainers/*/image",
    "replace /spec/volumes/*/image/reference",
];

fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// A cluster in which something happens to every kind of image; what nobody has may wait behind a gate.
fn busy(gates: bool) -> &'static App<Fake> {
    static APPS: LazyLock<[App<Fake>; 2]> = LazyLock::new(|| {
        let settings = |missing| {
            format!(
                "pin: {{tags: [latest, 'v*'], pullPolicy: IfNotPresent, repin: replace, repinImages: ['reg.example:*']}}\n\
                 place: {{pullPolicy: IfNotPresent, local: [petstore], inferLocal: true, onMissing: {missing}, newest: require, \
                 provided: [{{images: [petstore], nodes: {{matchLabels: {{pool: baked}}}}}}]}}\n\
                 mirror: {{rules: [{{source: ghcr.io, mirror: harbor.local/ghcr, pullSecret: harbor}}]}}"
            )
        };
        let apps = [app(&settings("admit")), app_with_controller(&settings("wait"))];
        for app in &apps {
            for image in ["nginx:latest", "reg.example:5000/a/b:v2", "loaded:dev"] {
                app.registry.push(image);
            }
            let digest = app.registry.push("ghcr.io/x/y:1");
            app.registry.put("harbor.local/ghcr/x/y:1", &digest);
            // Down, and remembered: one build that nodes have, and one that they have not.
            for (image, digit) in [("nginx:v9", "0"), ("reg.example:5000/down:v1", "1")] {
                app.registry.fail(image, Error::Unreachable { host: "down".to_owned(), reason: "refused".to_owned() });
                let digest = format!("sha256:{}", digit.repeat(64)).parse().unwrap();
                app.registry.remember(image, &digest, Duration::from_secs(60));
            }
        }
        apps
    });
    &APPS[usize::from(gates)]
}

fn any_image() -> impl Strategy<Value = String> {
    let digest = |image: &str| format!("{image}@sha256:{}", "7".repeat(64));
    let pinned = ["nginx:1", "nginx:latest", "reg.example:5000/a/b:v2", "gone:v1", "nginx:v9", "ghcr.io/x/y:1"];
    let known = [
        "nginx",
        "nginx:latest",
        "nginx:1",
        "reg.example:5000/a/b:v2",
        "ghcr.io/x/y:1",
        "petstore:dev",
        "loaded:dev",
        "found:dev",
        "gone:v1",
        "nginx:v9",
        "reg.example:5000/down:v1",
    ];
    prop_oneof![
        8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(pinned.map(digest).to_vec()),
        1 => "[ -~]{1,20}",
    ]
}

fn any_container() -> impl Strategy<Value = Value> {
    let policy = prop::sample::select(vec![None, Some("Always"), Some("IfNotPresent"), Some("Never")]);
    let extra = prop::collection::hash_map("[a-z]{3,8}X", any_json(), 0..3);
    (any_image(), policy, extra).prop_map(|(image, policy, extra)| {
        let mut container = json!({"image": image});
        if let Some(policy) = policy {
            container["imagePullPolicy"] = json!(policy);
        }
        for (key, value) in extra {
            container[key] = value;
        }
        container
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from);
        let map = prop::collection::hash_map("[a-z/~]{1,6}", inner, 0..3);
        prop_oneof![list, map.prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into())]
    })
}

fn any_affinity() -> impl Strategy<Value = Value> {
    let zone = json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["z"]}]});
    let name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]});
    let terms = prop::collection::vec(prop::sample::select(vec![zone.clone(), name, json!({})]), 1..4);
    prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        Just(json!({"podAffinity": {}, "nodeAffinity": null})),
        Just(json!({"nodeAffinity": {REQUIRED: null, PREFERRED: [{"weight": 7, "preference": zone}]}})),
        terms.prop_map(|terms| json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}})),
    ]
}

/// What a Pod may have besides images.
fn any_rest() -> impl Strategy<Value = Value> {
    let gates = prop::sample::select(vec![json!(null), json!([]), json!([{"name": "example.com/other"}])]);
    let secrets = prop::sample::select(vec![
        json!(null),
        json!([]),
        json!([{"name": "other"}]),
        json!([{"name": "harbor"}, {"name": "other", "unknown": [1]}]),
    ]);
    let node = prop::option::weighted(0.1, Just("a"));
    let parts = (any_affinity(), gates, secrets, node, any_json());
    parts.prop_map(|(affinity, gates, secrets, node, unknown)| {
        let mut spec = json!({"affinity": affinity, "schedulingGates": gates, "unknown": unknown});
        spec["imagePullSecrets"] = secrets;
        if let Some(node) = node {
            spec["nodeName"] = json!(node);
        }
        spec
    })
}

fn any_pod() -> impl Strategy<Value = Value> {
    let init = prop::collection::vec(any_container(), 0..2);
    let main = prop::collection::vec(any_container(), 1..4);
    let volumes =
        prop::collection::vec((any_image(), prop::sample::select(vec!["Always", "IfNotPresent", "Never"])), 0..2);
    let texts = prop::sample::select(vec![None, Some(json!(null)), Some(json!({})), Some(json!({"a/b~c": "d"}))]);
    let parts = (init, main, volumes, texts.clone(), texts, any_rest(), any_json());
    parts.prop_map(|(init, main, volumes, labels, annotations, mut spec, unknown)| {
        let volume = |(image, policy)| json!({"image": {"reference": image, "pullPolicy": policy}});
        spec["initContainers"] = named("i", init);
        spec["containers"] = named("c", main);
        spec["volumes"] = named("v", volumes.into_iter().map(volume).collect());
        let mut metadata = json!({"generateName": "p-", "unknown": unknown});
        for (key, value) in [("labels", labels), ("annotations", annotations)] {
            if let Some(value) = value {
                metadata[key] = value;
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    })
}

fn named(prefix: &str, mut list: Vec<Value>) -> Value {
    for (number, item) in list.iter_mut().enumerate() {
        item["name"] = json!(format!("{prefix}{number}"));
    }
    Value::Array(list)
}

/// The object less what Berth may write, and less what is empty there.
fn without_ours(mut object: Value) -> Value {
    let spec = &mut object["spec"];
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().unwrap() {
            container.as_object_mut().unwrap().retain(|key, _| key != "image" && key != "imagePullPolicy");
        }
    }
    for volume in spec["volumes"].as_array_mut().unwrap() {
        volume["image"] = Value::Null;
    }
    without(&mut spec["affinity"], &|item| item["key"] == "kubernetes.io/hostname" || item["key"] == "pool");
    if let Some(terms) = spec.pointer_mut(TERMS).and_then(Value::as_array_mut) {
        let mut seen = Vec::new(); // another way to be scheduled is a copy of each term
        terms.retain(|term| {
            !seen.contains(term) && {
                seen.push(term.clone());
                true
            }
        });
    }
    without(&mut spec["affinity"], &|item| item["weight"] == 100 && item.get("preference").is_none());
    without(&mut spec["schedulingGates"], &|item| item["name"] == "berth.dev/image-on-node");
    without(&mut spec["imagePullSecrets"], &|item| *item == json!({"name": "harbor"}));
    for key in ["labels", "annotations"] {
        let texts = &mut object["metadata"][key];
        if let Some(texts) = texts.as_object_mut() {
            texts.retain(|key, _| !key.starts_with("berth.dev/"));
        }
        without(texts, &|_| false);
    }
    object
}

/// Removes what is `ours` from `value`, and then what is empty; at last it may be null itself.
fn without(value: &mut Value, ours: &impl Fn(&Value) -> bool) {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        other => other.is_null(),
    };
    match value {
        Value::Array(items) => {
            items.retain(|item| !ours(item));
            for item in items.iter_mut() {
                without(item, ours);
            }
            items.retain(|item| !is_empty(item));
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                without(member, ours);
            }
            members.retain(|_, member| !is_empty(member));
        }
        _ => {}
    }
    if is_empty(value) {
        *value = Value::Null;
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const TERMS: &str = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    RUNTIME.block_on(future)
}

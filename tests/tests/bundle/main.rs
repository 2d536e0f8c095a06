//! `caBundle` among people and tools that apply manifests: the controller's field stays the controller's, whatever comes,
//! and it touches nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]

mod stage;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::stage::{NAME, stage};

/// `kubectl apply`, as people and Argo CD do it: a three-way patch of what was applied before, what is to be, and what is
/// there. Nothing is lost, so that nothing needs to be repaired.
#[tokio::test]
async fn applying_the_manifests_again_and_again_costs_no_write() {
    let stage = stage().await;
    let (before, written) = (stage.whole().await, stage.writes());
    let manifests = list(&stage.shipped);
    for _ in 0..20 {
        let said = stage.kubectl(&["apply", "-f", "-"], &manifests).await;
        assert!(said.lines().all(|line| line.ends_with(" unchanged")), "no drift is seen: {said}");
    }
    // A change of something else, forth and back.
    let mut changed = stage.shipped.clone();
    changed[0]["webhooks"][0]["timeoutSeconds"] = json!(4);
    for round in 0..10 {
        let wanted = if round % 2 == 0 { &changed } else { &stage.shipped };
        let said = stage.kubectl(&["apply", "-f", "-"], &list(wanted)).await;
        assert!(said.contains("configured"), "{said}");
    }
    stage.settled().await;
    assert_eq!(stage.whole().await, before);
    assert_eq!(stage.writes() - written, 0);
    println!("kubectl apply: 30 times, 0 writes by the controller");
}

#[tokio::test]
async fn a_server_side_apply_takes_nothing_with_and_without_force() {
    let stage = stage().await;
    let (before, written) = (stage.whole().await, stage.writes());
    let manifests = list(&stage.shipped);
    let server_side = ["apply", "--server-side", "-f", "-"];
    for manager in ["kubectl", "argocd-controller", "kustomize-controller"] {
        for force in [&["--force-conflicts"][..], &[]] {
            for _ in 0..4 {
                let manager = format!("--field-manager={manager}");
                stage.kubectl(&[&server_side[..], &[&manager], force].concat(), &manifests).await;
            }
        }
    }
    stage.settled().await;
    assert_eq!(stage.whole().await, before);
    assert_eq!(stage.writes() - written, 0);
    println!("server-side apply: 24 times by three managers, 0 writes by the controller");
    assert_eq!(owned_by_the_controller(&stage.objects().await.unwrap()), ["f:berth.dev/generation", "f:caBundle"]);
}

/// A server-side apply of a manifest with a bundle is told whose the field is, and with force takes it for a moment.
#[tokio::test]
async fn a_server_side_apply_of_a_bundle_is_a_conflict_and_by_force_is_repaired() {
    let stage = stage().await;
    let (before, written) = (stage.whole().await, stage.writes());
    let manifests = list(&with_bundles(&stage.shipped, ""));
    let server_side = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let (is_done, said) = stage.try_kubectl(&server_side, &manifests).await;
    assert!(!is_done && said.contains("conflicts with \"berth-certificates\""), "{said}");
    assert!(said.contains(".clientConfig.caBundle"), "{said}");
    let mut took = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        stage.kubectl(&[&server_side[..], &["--force-conflicts"]].concat(), &manifests).await;
        took.push(stage.back(&before, began).await);
    }
    report("server-side apply by force of an empty bundle", &took, stage.writes() - written);
    assert!(took.iter().all(|took| *took < PROMISED), "{took:?}");
    // It gives the field back, which the controller then owns alone.
    stage.kubectl(&server_side, &list(&stage.shipped)).await;
    stage.settled().await;
    assert_eq!(stage.whole().await, before);
}

/// A tool that has `caBundle: ""` in its manifests, and puts it there whenever it sees a difference.
#[tokio::test]
async fn a_client_that_wipes_the_bundle_each_time_it_sees_it_finds_it_back_each_time() {
    let stage = stage().await;
    for (empty, what, times) in [("", "an empty bundle", 20), ("Cg==", "a line feed", 5)] {
        let (before, written) = (stage.whole().await, stage.writes());
        let wipe = wipe(&before, empty);
        let mut took = Vec::new();
        for _ in 0..times {
            let began = Instant::now();
            for (kind, patch) in &wipe {
                stage.kubectl(&["patch", kind, NAME, "--type=json", "--field-manager=gitops", "-p", patch], "").await;
            }
            took.push(stage.back(&before, began).await);
        }
        let writes = stage.writes() - written;
        report(what, &took, writes);
        assert!(took.iter().all(|took| *took < PROMISED), "{took:?}");
        // Two configurations, each wiped by a patch of its own.
        assert!((2 * times..=2 * times + 4).contains(&writes), "{writes}");
        stage.settled().await;
    }
}

/// A fight that nobody can win costs little, and ends as soon as the other one stops.
#[tokio::test]
async fn a_client_that_never_stops_wiping_makes_no_storm() {
    let stage = stage().await;
    let (before, written) = (stage.whole().await, stage.writes());
    let (kind, patch) = &wipe(&before, "")[0];
    let (began, mut wiped) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(30) {
        stage.kubectl(&["patch", kind, NAME, "--type=json", "--field-manager=gitops", "-p", patch], "").await;
        wiped += 1;
    }
    let (fought, writes) = (began.elapsed(), stage.writes() - written);
    let took = stage.back(&before, Instant::now()).await;
    println!("a fight of {} s: {wiped} wipes, {writes} writes, back after {} ms", fought.as_secs(), took.as_millis());
    assert!(took < PROMISED, "{took:?}");
    // Ten at once, then one in two seconds; a write that comes between a read and its write is another one.
    let most = 12 + usize::try_from(fought.as_secs() / 2).unwrap();
    assert!((10..=most).contains(&writes), "{writes} of at most {most}");
}

/// Manifests that had a bundle once, and then none: the three-way patch takes away what it put there.
#[tokio::test]
async fn a_bundle_that_leaves_the_manifests_takes_nothing_with_it() {
    let stage = stage().await;
    let (before, written) = (stage.whole().await, stage.writes());
    let mut took = Vec::new();
    for manifests in [with_bundles(&stage.shipped, "Cg=="), stage.shipped.clone()] {
        let began = Instant::now();
        stage.kubectl(&["apply", "-f", "-"], &list(&manifests)).await;
        took.push(stage.back(&before, began).await);
    }
    for flags in [&["replace", "-f", "-"][..], &["replace", "--force", "-f", "-"]] {
        let began = Instant::now();
        stage.kubectl(flags, &list(&stage.shipped)).await;
        let whole = stage.whole().await; // `--force` makes new ones, and the annotation has to come back as well
        let wanted = if flags.len() == 4 { made_anew(&before, &whole) } else { before.clone() };
        took.push(stage.back(&wanted, began).await);
    }
    report("apply with a bundle, without; replace; delete and create", &took, stage.writes() - written);
    assert!(took.iter().all(|took| *took < PROMISED), "{took:?}");
}

/// What others have put into the configurations stays, while the bundle is wiped and repaired.
#[tokio::test]
async fn what_others_have_added_and_edited_stays() {
    let stage = stage().await;
    let mut edited = stage.shipped.clone();
    for configuration in &mut edited {
        let mut own = configuration["webhooks"][0].clone();
        own["name"] = json!("mine.example.com");
        own["clientConfig"]["service"]["path"] = json!("/mine");
        let webhooks = configuration["webhooks"].as_array_mut().unwrap();
        webhooks.insert(1, own);
        webhooks.reverse();
        webhooks[0]["namespaceSelector"] = json!({"matchLabels": {"mine": "true"}});
        webhooks[0]["failurePolicy"] = json!("Fail");
        webhooks[2]["matchConditions"] = json!([{"name": "mine", "expression": "object.metadata.name != 'mine'"}]);
        configuration["metadata"]["labels"]["mine"] = json!("true");
        configuration["metadata"]["annotations"] = json!({"mine": "true"});
        configuration["metadata"]["finalizers"] = json!(["example.com/mine"]);
    }
    stage.kubectl(&["apply", "-f", "-"], &list(&edited)).await;
    stage.settled().await;
    let (before, written) = (stage.whole().await, stage.writes());
    for (found, wanted) in before.iter().zip(&edited) {
        assert_eq!(found["webhooks"].as_array().unwrap().len(), 3);
        assert_eq!(found["metadata"]["finalizers"], wanted["metadata"]["finalizers"]);
    }
    let mut took = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        for (kind, patch) in wipe(&before, "") {
            stage.kubectl(&["patch", &kind, NAME, "--type=json", "-p", &patch], "").await;
        }
        took.push(stage.back(&before, began).await);
    }
    report("with a webhook, a selector and metadata of others", &took, stage.writes() - written);
    assert!(took.iter().all(|took| *took < PROMISED), "{took:?}");
    for object in &before {
        let kind = object["kind"].as_str().unwrap();
        stage.kubectl(&["patch", kind, NAME, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#], "").await;
    }
}

/// A copy of the whole object, kept somewhere and applied later: an old bundle never replaces a newer one for long.
#[tokio::test]
async fn an_old_export_is_brought_up_to_date() {
    let stage = stage().await;
    let before = stage.whole().await;
    let mut old = before.clone();
    for object in &mut old {
        object["metadata"]["annotations"]["berth.dev/generation"] = json!("0");
        for field in ["uid", "creationTimestamp"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        for webhook in object["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"]["caBundle"] = json!("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCi0tLS0t");
        }
    }
    let written = stage.writes();
    let began = Instant::now();
    stage.kubectl(&["replace", "-f", "-"], &list(&<[Value; 2]>::try_from(old).unwrap())).await;
    let took = stage.back(&before, began).await;
    report("an old export", &[took], stage.writes() - written);
    assert!(took < PROMISED, "{took:?}");
}

#[expect(clippy::print_stdout, reason = "figures that are kept")]
fn report(what: &str, took: &[Duration], writes: usize) {
    let longest = took.iter().max().unwrap().as_millis();
    println!("{what}: back {} times, within {longest} ms, {writes} writes by the controller", took.len());
}

pub(crate) fn list(objects: &[Value; 2]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn with_bundles(shipped: &[Value; 2], bundle: &str) -> [Value; 2] {
    let mut objects = shipped.clone();
    for webhook in objects.iter_mut().flat_map(|object| object["webhooks"].as_array_mut().unwrap()) {
        webhook["clientConfig"]["caBundle"] = json!(bundle);
    }
    objects
}

/// For each object, its kind and a JSON patch that writes `bundle` into all its webhooks.
fn wipe(objects: &[Value], bundle: &str) -> Vec<(String, String)> {
    let patch = |object: &Value| {
        let places = 0..object["webhooks"].as_array().unwrap().len();
        let path = |place| format!("/webhooks/{place}/clientConfig/caBundle");
        let operations: Vec<_> =
            places.map(|place| json!({"op": "replace", "path": path(place), "value": bundle})).collect();
        (object["kind"].as_str().unwrap().to_owned(), json!(operations).to_string())
    };
    objects.iter().map(patch).collect()
}

/// `before` with the identity of what was made anew.
fn made_anew(before: &[Value], made: &[Value]) -> Vec<Value> {
    let mut objects = before.to_vec();
    for (object, made) in objects.iter_mut().zip(made) {
        for field in ["uid", "creationTimestamp"] {
            object["metadata"][field] = made["metadata"][field].clone();
        }
    }
    objects
}

/// The fields that the API server knows to be the controller's, each once.
fn owned_by_the_controller(objects: &[Value]) -> Vec<String> {
    fn leaves(fields: &Value, name: &str, found: &mut Vec<String>) {
        match fields.as_object().filter(|fields| !fields.is_empty()) {
            Some(fields) => fields.iter().for_each(|(name, inner)| leaves(inner, name, found)),
            None if name == "." => (), // that there is a map at all
            None => found.push(name.to_owned()),
        }
    }
    let mut found = Vec::new();
    for object in objects {
        let entries = object["metadata"]["managedFields"].as_array().unwrap();
        let own: Vec<_> = entries.iter().filter(|entry| entry["manager"] == "berth-certificates").collect();
        assert_eq!(own.len(), 1, "{entries:#?}");
        leaves(&own[0]["fieldsV1"], "", &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// How soon a bundle is back.
const PROMISED: Duration = Duration::from_secs(5);

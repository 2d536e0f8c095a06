//! `name:tag@digest`, where the tag means another build by now.

use berth::registry::Error;

use super::*;

const OLD: &str = "@sha256:7777777777777777777777777777777777777777777777777777777777777777";

#[tokio::test]
async fn a_newer_build_replaces_the_digest_where_people_said_so_and_is_told_elsewhere() {
    let app = app("pin: {tags: ['*'], repin: replace, repinImages: ['localhost:5001/*']}");
    let new = app.registry.push("localhost:5001/app:v2");
    let (after, response) = create(&app, &pod_of(&format!("localhost:5001/app:v2{OLD}"), "Always")).await;
    assert_eq!(image(&after), format!("localhost:5001/app:v2@{new}"));
    assert_eq!(after["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert!(warning(&response).contains("re-pinned: v2 means another build now"), "{response}");
    let again = ask(&app, Mode::Enforce, &review_of(&after)).await;
    assert_eq!((again.get("patch"), again.get("warnings")), (None, None), "{again}");

    let other = app.registry.push("quay.io/tool:latest");
    let object = pod_of(&format!("quay.io/tool:latest{OLD}"), "Always");
    let (after, response) = create(&app, &object).await;
    assert_eq!(image(&after), image(&object));
    let digits = other.as_str().get(..19).unwrap();
    assert!(warning(&response).contains(&format!("outdated: latest means {digits}")), "{response}");
}

#[tokio::test]
async fn the_local_registry_needs_no_pattern() {
    let mut app = app("profile: dev\nregistries: [{host: 'localhost:5001'}]");
    let mut config = (*app.config).clone();
    config.registries[0].local = true;
    app.config = Arc::new(config);
    let new = app.registry.push("localhost:5001/app:latest");
    let (after, _) = create(&app, &pod_of(&format!("localhost:5001/app:latest{OLD}"), "Always")).await;
    assert_eq!(image(&after), format!("localhost:5001/app:latest@{new}"));
}

#[tokio::test]
async fn nobody_is_asked_where_nothing_can_have_changed() {
    let never = pod_of(&format!("nginx:latest{OLD}"), "Never");
    let object = |image: &str| pod_of(&format!("{image}{OLD}"), "IfNotPresent");
    for (settings, object) in [
        ("pin: {repin: 'off'}", object("nginx:latest")),
        ("pin: {repin: warn}", object("nginx:1.27")), // `pin.tags` says that it is not moved
        ("pin: {repin: warn, tags: ['*']}", object("nginx")),
        ("pin: {repin: warn}", never),
        ("pin: {repin: warn, ignore: ['docker.io/library/nginx']}", object("nginx:latest")),
        ("pin: {repin: warn}\nplace: {local: [nginx]}", object("nginx:latest")),
    ] {
        let app = app(settings);
        app.registry.push("nginx:latest");
        app.registry.push("nginx:1.27");
        let response = ask(&app, Mode::Enforce, &review_of(&object)).await;
        let changed = patch_of(&response).iter().any(|operation| operation["path"].as_str().unwrap().contains("image"));
        assert!(!changed, "{settings}: {response}");
        assert_eq!(app.registry.questions(), 0, "{settings}");
    }
    let app = app("pin: {repin: warn}");
    let mut skipping = object("nginx:latest");
    skipping["metadata"]["annotations"] = json!({"berth.dev/skip": "pin"});
    create(&app, &skipping).await;
    assert_eq!(app.registry.questions(), 0);
}

#[tokio::test]
async fn a_registry_that_gives_no_digest_changes_denies_and_says_nothing() {
    let app = app("pin: {repin: replace, repinImages: ['*'], onFailure: deny}");
    let object = pod_of(&format!("nginx:latest{OLD}"), "IfNotPresent");
    let older = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    app.registry.remember("nginx:latest", &older, Duration::from_secs(60)); // memory may be older than the digest
    let host = || "docker.io".to_owned();
    for down in [
        None, // 404
        Some(Error::Unreachable { host: host(), reason: "refused".to_owned() }),
        Some(Error::TooMany { host: host(), retry_after: None }),
        Some(Error::Untrusted { host: host(), reason: "a lie".to_owned() }),
    ] {
        app.registry.down(down);
        let response = ask(&app, Mode::Enforce, &review_of(&object)).await;
        assert_eq!((&response["allowed"], response.get("patch")), (&json!(true), None), "{response}");
        assert_eq!(response.get("warnings"), None, "{response}");
    }
}

#[tokio::test]
async fn every_field_is_compared() {
    let app = app("pin: {repin: replace, repinImages: ['*'], keepTag: false}");
    let new = app.registry.push("nginx:latest");
    let old = format!("nginx:latest{OLD}");
    let current = format!("nginx:latest@{new}");
    let object = json!({"metadata": {"name": "p"}, "spec": {
        "initContainers": [{"name": "i", "image": old}],
        "containers": [{"name": "c", "image": old}, {"name": "d", "image": current}],
        "volumes": [{"name": "v", "image": {"reference": old}}],
    }});
    let (after, _) = create(&app, &object).await;
    let spec = &after["spec"];
    let written = format!("nginx@{new}");
    for image in [
        &spec["initContainers"][0]["image"],
        &spec["containers"][0]["image"],
        &spec["volumes"][0]["image"]["reference"],
    ] {
        assert_eq!(*image, written);
    }
    assert_eq!(spec["containers"][1]["image"], current, "it is right, and stays byte for byte");
    assert_eq!(app.registry.asked(), ["docker.io/library/nginx:latest"], "once");

    let mut debug = review_of(&json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": old}],
        "ephemeralContainers": [{"name": "e", "image": old}],
    }}));
    debug["request"]["operation"] = json!("UPDATE");
    debug["request"]["subResource"] = json!("ephemeralcontainers");
    let patch = patch_of(&ask(&app, Mode::Enforce, &debug).await);
    let expected = json!([{"op": "replace", "path": "/spec/ephemeralContainers/0/image", "value": written}]);
    assert_eq!(Value::Array(patch), expected);
}

#[tokio::test]
async fn mirrors_are_asked_for_the_newer_build() {
    let rules = "mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}";
    let app = app(&format!("pin: {{repin: replace, repinImages: ['*']}}\n{rules}"));
    let new = app.registry.push("nginx:latest");
    app.registry.put("harbor.local/hub/library/nginx:any", &new);
    let object = pod_of(&format!("nginx:latest{OLD}"), "IfNotPresent");
    let (after, response) = create(&app, &object).await;
    assert_eq!(image(&after), format!("harbor.local/hub/library/nginx:latest@{new}"));
    assert!(response["warnings"].to_string().contains("re-pinned"), "{response}");

    // The mirror is late: the source has the newer build.
    app.registry.delete(&format!("harbor.local/hub/library/nginx@{new}"));
    let (after, _) = create(&app, &object).await;
    assert_eq!(image(&after), format!("nginx:latest@{new}"));
}

#[tokio::test]
async fn mirrors_are_not_asked_for_what_is_only_remembered() {
    let rules = "mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}";
    let app = app(&format!("pin: {{repin: replace, repinImages: ['*']}}\n{rules}"));
    let older = app.registry.push("harbor.local/hub/library/nginx:older");
    app.registry.remember("nginx:latest", &older, Duration::from_secs(60));
    let down = Error::Unreachable { host: "docker.io".to_owned(), reason: "refused".to_owned() };
    app.registry.fail("nginx:latest", down);
    app.registry.put("harbor.local/hub/library/nginx:any", &OLD[1..].parse().unwrap());
    let (after, _) = create(&app, &pod_of(&format!("nginx:latest{OLD}"), "IfNotPresent")).await;
    assert_eq!(image(&after), format!("harbor.local/hub/library/nginx:latest{OLD}"));
}

#[tokio::test]
async fn a_newer_build_that_no_mirror_has_is_no_reason_to_refuse_the_old_one() {
    let rules = "mirror: {rules: [{source: docker.io, mirror: harbor.local/hub, fallback: deny}]}";
    let app = app(&format!("pin: {{repin: replace, repinImages: ['*']}}\n{rules}"));
    app.registry.push("nginx:latest");
    app.registry.put("harbor.local/hub/library/nginx:any", &OLD[1..].parse().unwrap());
    let (after, response) = create(&app, &pod_of(&format!("nginx:latest{OLD}"), "IfNotPresent")).await;
    assert_eq!(image(&after), format!("harbor.local/hub/library/nginx:latest{OLD}"));
    assert!(response["warnings"].to_string().contains("outdated"), "{response}");
}

#[tokio::test]
async fn a_mirror_that_resolves_says_what_the_tag_means_and_the_source_is_not_asked() {
    let rules = "mirror: {rules: [{source: docker.io, mirror: 'localhost:30500', resolve: mirror}]}";
    for (repin, replaced) in [("replace", true), ("warn", false)] {
        let app = app(&format!("pin: {{repin: {repin}, repinImages: ['*']}}\n{rules}"));
        app.registry.push("nginx:latest"); // a stranger's
        app.registry.put("localhost:30500/library/nginx:older", &OLD[1..].parse().unwrap());
        let new = app.registry.push("localhost:30500/library/nginx:latest");
        let (after, response) = create(&app, &pod_of(&format!("nginx:latest{OLD}"), "IfNotPresent")).await;
        let (digest, word) = if replaced { (format!("@{new}"), "re-pinned") } else { (OLD.to_owned(), "outdated") };
        assert_eq!(image(&after), format!("localhost:30500/library/nginx:latest{digest}"));
        assert!(response["warnings"].to_string().contains(word), "{response}");
        let asked = app.registry.asked();
        assert!(asked.iter().all(|asked| asked.starts_with("localhost:30500/")), "{asked:?}");
        // Without the tag the digest is enough.
        app.registry.delete("localhost:30500/library/nginx:latest");
        let (after, _) = create(&app, &pod_of(&format!("nginx:latest{OLD}"), "IfNotPresent")).await;
        assert_eq!(image(&after), format!("localhost:30500/library/nginx:latest{OLD}"));
    }
}

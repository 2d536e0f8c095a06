//! What is pinned, what is said, who is left alone.

use berth::{admission::respond, config::OnFailure, registry::Error};

use super::*;

#[tokio::test]
async fn every_field_that_names_an_image_is_pinned_with_its_spelling_kept() {
    let app = app("");
    let nginx = app.registry.push("nginx:latest");
    let tool = app.registry.push("reg.example/tool:latest");
    let object = json!({"metadata": {"name": "p"}, "spec": {
        "initContainers": [
            {"name": "i", "image": "docker.io/nginx"},
            {"name": "s", "image": "nginx:latest", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "c", "image": "nginx"}, {"name": "d", "image": "nginx:1.27"}],
        "volumes": [{"name": "e", "emptyDir": {}}, {"name": "v", "image": {"reference": "reg.example/tool:latest"}}],
    }});
    let (after, response) = create(&app, &object).await;
    assert_eq!(response["allowed"], true);
    let spec = &after["spec"];
    assert_eq!(spec["initContainers"][0]["image"], format!("docker.io/nginx@{nginx}"));
    assert_eq!(spec["initContainers"][1]["image"], format!("nginx:latest@{nginx}"));
    assert_eq!(spec["containers"][0]["image"], format!("nginx@{nginx}"));
    assert_eq!(spec["containers"][1]["image"], "nginx:1.27");
    assert_eq!(spec["volumes"][1]["image"]["reference"], format!("reg.example/tool:latest@{tool}"));
    let originals = after["metadata"]["annotations"]["berth.dev/original-images"].as_str().unwrap();
    let expected = json!({"i": "docker.io/nginx", "s": "nginx:latest", "c": "nginx", "v": "reg.example/tool:latest"});
    assert_eq!(serde_json::from_str::<Value>(originals).unwrap(), expected);
    assert!(response["auditAnnotations"]["done"].as_str().unwrap().contains("c: nginx -> nginx@sha256:"));
    assert!(response.get("warnings").is_none(), "{response}");
}

#[tokio::test]
async fn an_image_with_a_digest_stays_byte_for_byte_and_nobody_is_asked() {
    let app = app("pin: {repin: 'off'}\nprofile: dev");
    for image in [format!("nginx:latest@sha256:{}", "7".repeat(64)), format!("reg.example/a@sha256:{}", "7".repeat(64))]
    {
        let response = ask(&app, Mode::Enforce, &review_of(&pod_of(&image, "IfNotPresent"))).await;
        assert!(response.get("patch").is_none(), "{response}");
    }
    assert_eq!(app.registry.questions(), 0);
}

#[tokio::test]
async fn observing_decides_everything_and_patches_nothing() {
    let app = app("pin: {onFailure: deny}");
    app.registry.push("nginx:latest");
    let response = ask(&app, Mode::Observe, &review_of(&pod_of("nginx", "Always"))).await;
    assert_eq!((&response["allowed"], response.get("patch")), (&json!(true), None));
    assert!(response["auditAnnotations"]["done"].as_str().unwrap().contains("nginx@sha256:"));
    let response = ask(&app, Mode::Observe, &review_of(&pod_of("gone", "Always"))).await;
    assert_eq!(response["allowed"], true);
    assert!(response["warnings"].to_string().contains("would be refused"), "{response}");
}

#[tokio::test]
async fn a_registry_that_is_down_is_admitted_or_denied_in_words() {
    let down = Error::Unreachable { host: "docker.io".to_owned(), reason: "connection refused".to_owned() };
    let object = pod(&json!([{"name": "web", "image": "nginx:latest"}]));
    let admitting = app("");
    admitting.registry.down(Some(down.clone()));
    let (after, response) = create(&admitting, &object).await;
    assert_eq!((image(&after), &response["allowed"]), ("nginx:latest", &json!(true)));
    let said = warning(&response);
    assert!(said.starts_with("berth: web: not pinned: docker.io") && said.contains("connection refused"), "{said}");
    assert!(after["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap().contains("not pinned"));
    assert_eq!(after["metadata"]["labels"]["berth.dev/attention"], "true");

    let denying = app("pin: {onFailure: deny}");
    denying.registry.down(Some(down));
    let (_, response) = create(&denying, &object).await;
    let reason = denial(&response);
    assert!(reason.contains("web: image nginx:latest could not be pinned"), "{reason}");
    assert!(reason.contains("pin.onFailure"), "it names what to change: {reason}");
}

#[tokio::test]
async fn one_warning_holds_who_failed_and_what_to_do() {
    let (container, host) = ("payments-api-worker1", "registry.platform.example:5443");
    let name = format!("{host}/department/team/product/component");
    let object = pod(&json!([{"name": container, "image": name}]));
    let (host, image, anonymous) = (host.to_owned(), name, true);
    let (limit, after) = (Duration::from_secs(25), Some(Duration::from_secs(86_400)));
    let reason = "asked for one digest, it gave another".to_owned();
    let ca = "unknown certificate authority: add `caFile`".to_owned();
    for (error, remedy) in [
        (Error::Unreachable { host: host.clone(), reason: ca }, "add `caFile`"),
        (Error::TimedOut { host: host.clone(), limit }, "see if it is up"),
        (Error::TooMany { host: host.clone(), retry_after: after }, "set a mirror or `pin.maxAge`"),
        (Error::Unauthorized { host: host.clone(), image: image.clone(), anonymous }, "add them to `credentials`"),
        (Error::Unauthorized { host: host.clone(), image: image.clone(), anonymous: false }, "renew them"),
        (
            Error::Forbidden { host: host.clone(), image: image.clone(), anonymous, to_all: anonymous },
            "add them to `credentials`",
        ),
        (
            Error::Forbidden { host: host.clone(), image: image.clone(), anonymous: false, to_all: true },
            "let the account pull",
        ),
        (Error::NotFound { host: host.clone(), image: image.clone() }, "push it or correct the name"),
        (Error::Untrusted { host: host.clone(), reason }, "check it, and proxies"),
    ] {
        let app = app("");
        app.registry.down(Some(error.clone()));
        let response = ask(&app, Mode::Enforce, &review_of(&object)).await;
        let said = warning(&response);
        assert!(said.starts_with(&format!("berth: {container}: not pinned: {host}")), "{said}");
        assert!(said.contains(remedy) && said.chars().count() < 120, "{said}");
        assert!(response["auditAnnotations"]["notes"].to_string().contains(&error.to_string()), "nothing is lost");
    }
}

#[tokio::test]
async fn a_running_pod_changes_only_in_its_new_ephemeral_containers() {
    let app = app("");
    let digest = app.registry.push("busybox:latest");
    let old = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "a",
        "containers": [{"name": "c", "image": "nginx"}],
        "ephemeralContainers": [{"name": "old", "image": "busybox"}],
    }});
    let mut new = old.clone();
    new["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(json!({"name": "new", "image": "busybox"}));
    let mut review = review_of(&new);
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["subResource"] = json!("ephemeralcontainers");
    review["request"]["oldObject"] = old;
    let response = ask(&app, Mode::Enforce, &review).await;
    let mut expected = new.clone();
    expected["spec"]["ephemeralContainers"][1]["image"] = json!(format!("busybox@{digest}"));
    assert_eq!(patched(&new, &response).await, expected);
    review["request"]["subResource"] = json!(""); // `kubectl set image pod/…` restarts what runs: never touched
    assert!(ask(&app, Mode::Enforce, &review).await.get("patch").is_none());
}

#[tokio::test]
async fn what_does_not_parse_is_quoted_and_left() {
    let app = app("");
    let digest = app.registry.push("nginx:latest");
    let strange = "UPPER/\u{202e}Case:x\n";
    let object = pod(&json!([{"name": "c", "image": "nginx"}, {"name": "bad", "image": strange}]));
    let (after, response) = create(&app, &object).await;
    assert_eq!(image(&after), format!("nginx@{digest}"));
    assert_eq!(after["spec"]["containers"][1]["image"], strange);
    let said = warning(&response);
    assert!(said.starts_with("berth: bad: `UPPER/"), "{said}");
    assert!(!said.contains(char::is_control) && !said.contains('\u{202e}'), "{said}");
    assert_eq!(app.registry.questions(), 1);
}

#[tokio::test]
async fn those_left_alone_are_left_alone() {
    let app = app("skipOwners: [postgresql.cnpg.io/Cluster]\ntenants: {maySkip: [pin, mirror]}");
    app.registry.push("nginx:latest");
    let plain = pod_of("nginx", "Always");
    for namespace in ["kube-system", "kube-node-lease", "berth-system"] {
        let mut review = review_of(&plain);
        review["request"]["namespace"] = json!(namespace);
        assert!(ask(&app, Mode::Enforce, &review).await.get("patch").is_none(), "{namespace}");
    }
    let owner = json!([{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "db", "uid": "1"}]);
    for (key, value) in [
        ("annotations", json!({"kubernetes.io/config.mirror": "hash"})),
        ("annotations", json!({"berth.dev/skip": "pin"})),
        ("ownerReferences", owner),
    ] {
        let mut object = plain.clone();
        object["metadata"] = json!({"name": "p", key: value});
        assert_eq!(image(&create(&app, &object).await.0), "nginx", "{object}");
    }
    let mut object = pod_of("petstore:dev", "Never");
    object["metadata"] = json!({"name": "p", "annotations": {"berth.dev/skip": "place, mirrors"}});
    let (after, response) = create(&app, &object).await;
    assert!(after["spec"].get("affinity").is_some(), "place may not be skipped: {after}");
    let said = response["warnings"].to_string();
    assert!(said.contains("may not be skipped") && said.contains("`mirrors`"), "{said}");
    assert_eq!(app.registry.questions(), 0);
}

/// The API server drops what `kubectl debug` says of metadata, but only after it has asked webhooks.
#[tokio::test]
async fn a_running_pod_is_left_alone_for_what_it_has_and_not_for_what_is_sent() {
    let app = app("skipOwners: [postgresql.cnpg.io/Cluster]");
    let digest = app.registry.push("nginx:latest");
    let owner = json!([{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "db", "uid": "1"}]);
    for (key, value) in [
        ("annotations", json!({"kubernetes.io/config.mirror": "hash"})),
        ("annotations", json!({"berth.dev/skip": "pin, mirror, place"})),
        ("ownerReferences", owner),
    ] {
        let plain = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}});
        let mut claiming = plain.clone();
        claiming["metadata"][key] = value;
        let debugged = async |old: &Value, new: &Value| {
            let mut object = new.clone();
            object["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": "nginx"}]);
            let mut review = review_of(&object);
            review["request"]["operation"] = json!("UPDATE");
            review["request"]["subResource"] = json!("ephemeralcontainers");
            review["request"]["oldObject"] = old.clone();
            let response = ask(&app, Mode::Enforce, &review).await;
            patched(&object, &response).await["spec"]["ephemeralContainers"][0]["image"].as_str().unwrap().to_owned()
        };
        assert_eq!(debugged(&plain, &claiming).await, format!("nginx@{digest}"), "{claiming}");
        assert_eq!(debugged(&claiming, &plain).await, "nginx", "{claiming}");
    }
}

#[tokio::test]
async fn a_manifest_without_metadata_gets_a_patch_that_applies() {
    let app = app("");
    let digest = app.registry.push("nginx:latest");
    let object = json!({"spec": {"containers": [{"name": "c", "image": "nginx"}, {"name": "d", "image": "gone"}]}});
    let (after, _) = create(&app, &object).await;
    assert_eq!(after["spec"]["containers"][0]["image"], format!("nginx@{digest}"));
    assert!(after.get("metadata").is_none());
}

#[tokio::test]
async fn equal_references_of_one_pod_are_asked_once() {
    let app = app("");
    app.registry.push("nginx:latest");
    let containers: Vec<_> = (0..12).map(|number| json!({"name": format!("c{number}"), "image": "nginx"})).collect();
    create(&app, &pod(&json!(containers))).await;
    assert_eq!(app.registry.questions(), 1);
}

#[tokio::test]
async fn an_object_that_is_no_pod_is_the_api_servers_to_refuse() {
    let app = app("");
    let response = ask(&app, Mode::Enforce, &review_of(&json!({"spec": {"containers": "none"}}))).await;
    assert_eq!(response["allowed"], true);
    assert!(warning(&response).contains("not a Pod"), "{response}");
    let mut deployment = review_of(&json!({"spec": {"template": {}}}));
    deployment["request"]["resource"] = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    assert!(ask(&app, Mode::Enforce, &deployment).await.get("patch").is_none());
}

#[test]
fn a_panic_is_answered_by_policy() {
    let body = review_of(&pod(&json!([]))).to_string();
    let answer = |policy| {
        let answer = respond::panicked(body.as_bytes(), policy).unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["response"].clone()
    };
    assert_eq!(answer(OnFailure::Admit)["allowed"], true);
    assert_eq!(answer(OnFailure::Deny)["allowed"], false);
    assert_eq!(answer(OnFailure::Deny)["uid"], "u-1");
}

//! Which mirror is asked for what, and whose digest is written.

use berth::registry::Error;

use super::*;

#[tokio::test]
async fn a_mirror_is_asked_for_the_digest_that_the_source_gave() {
    let app = app("mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}");
    let digest = app.registry.push("nginx:1.27");
    app.registry.push("harbor.local/hub/library/nginx:1.27"); // an older build under the same tag
    app.registry.put("harbor.local/hub/library/nginx:other", &digest);
    let (after, _) = create(&app, &pod_of("nginx:1.27", "IfNotPresent")).await;
    assert_eq!(image(&after), format!("harbor.local/hub/library/nginx:1.27@{digest}"));
    let at_mirror = format!("harbor.local/hub/library/nginx@{digest}");
    assert_eq!(app.registry.asked(), ["docker.io/library/nginx:1.27", &at_mirror]);

    // An image that has a digest asks the mirror for it, and nobody else.
    let before = app.registry.questions();
    let (after, _) = create(&app, &pod_of(&format!("nginx@{digest}"), "IfNotPresent")).await;
    assert_eq!(image(&after), format!("harbor.local/hub/library/nginx@{digest}"));
    assert_eq!(app.registry.questions(), before + 1);
}

#[tokio::test]
async fn what_no_mirror_has_stays_at_its_source_and_is_pinned_only_where_its_tag_is_mutable() {
    let app = app("mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}");
    app.registry.push("redis:7");
    let (after, response) = create(&app, &pod_of("redis:7", "IfNotPresent")).await;
    assert_eq!(image(&after), "redis:7");
    assert!(warning(&response).contains("not mirrored"), "{response}");
    let latest = app.registry.push("redis:latest");
    let (after, _) = create(&app, &pod_of("redis", "Always")).await;
    assert_eq!(image(&after), format!("redis@{latest}"));
}

#[tokio::test]
async fn a_stranger_who_owns_the_name_at_the_source_never_wins() {
    let app = app("mirror: {rules: [\
        {source: docker.io/library/easy-kanban, mirror: 'localhost:30500/easy-kanban', resolve: mirror, fallback: deny}, \
        {source: docker.io, mirror: harbor.local/hub}]}");
    let stranger = app.registry.push("easy-kanban:latest");
    app.registry.put("harbor.local/hub/library/easy-kanban:latest", &stranger);
    let object = pod_of("easy-kanban", "Always");
    let (_, response) = create(&app, &object).await;
    assert!(denial(&response).contains("no mirror has image easy-kanban"), "{response}");
    let ours = app.registry.push("localhost:30500/easy-kanban:latest");
    let (after, _) = create(&app, &object).await;
    assert_eq!(image(&after), format!("localhost:30500/easy-kanban@{ours}"));
    let asked = app.registry.asked();
    assert!(asked.iter().all(|asked| asked.starts_with("localhost:30500/")), "{asked:?}");
}

/// A rule stays in force for a name that its mirror could not even have: whoever chooses it must not choose the way out.
#[tokio::test]
async fn a_name_that_is_too_long_for_the_mirror_leads_nowhere_else() {
    let long = format!("docker.io/evil/{}", "a".repeat(245));
    for (resolve, asked) in [("mirror", 0), ("source", 1)] {
        let rule = format!("{{source: docker.io, mirror: harbor.local/dockerhub, resolve: {resolve}, fallback: deny}}");
        let app = app(&format!("mirror: {{rules: [{rule}]}}"));
        app.registry.push(&format!("{long}:latest"));
        let (_, response) = create(&app, &pod_of(&long, "Always")).await;
        let denial = denial(&response);
        assert!(denial.contains("harbor.local can have no image of that name"), "{denial}");
        assert!(denial.contains("longer than 255 characters"), "{denial}");
        assert_eq!(app.registry.questions(), asked, "{resolve}");
    }
}

/// A registry in the cluster cannot be asked about its own Pod, also not where a node lists an import of that name.
#[tokio::test]
async fn who_skips_mirrors_has_nothing_to_do_with_them() {
    let app = app("mirror: {rules: [\
        {source: docker.io, mirror: 'localhost:30500', resolve: mirror, fallback: deny}, \
        {source: quay.io, mirror: harbor.local/quay, fallback: deny}]}");
    let skipping = |image: &str, policy: &str, skip: &str| {
        let mut object = pod_of(image, policy);
        object["metadata"]["annotations"] = json!({ "berth.dev/skip": skip });
        object
    };
    for name in ["petstore:dev", "nginx:1", "absent:1"] {
        let (after, _) = create(&app, &skipping(name, "IfNotPresent", "pin,mirror")).await;
        assert_eq!(image(&after), name);
    }
    let (after, _) = create(&app, &skipping("petstore:latest", "Always", "mirror")).await;
    assert_eq!(image(&after), "petstore:latest");
    assert_eq!(app.registry.questions(), 0, "the rule keeps the source from being asked: {:?}", app.registry.asked());

    let digest = app.registry.push("quay.io/team/app:latest");
    app.registry.put("harbor.local/quay/team/app:latest", &digest);
    let (after, _) = create(&app, &skipping("quay.io/team/app:latest", "Always", "mirror")).await;
    assert_eq!(image(&after), format!("quay.io/team/app:latest@{digest}"));
    assert_eq!(app.registry.asked(), ["quay.io/team/app:latest"]);
}

#[tokio::test]
async fn the_hosts_of_rules_are_compared_exactly() {
    let app = app("mirror: {rules: [{source: mirror.internal, mirror: harbor.local/internal}]}");
    for image in ["mirror.internal.evil.com/a:1", "evil.com/mirror.internal/a:1", "mirror.internal:5000/a:1"] {
        let response = ask(&app, Mode::Enforce, &review_of(&pod_of(image, "IfNotPresent"))).await;
        assert!(response.get("patch").is_none(), "{image}: {response}");
    }
    assert_eq!(app.registry.questions(), 0);
}

#[tokio::test]
async fn a_pull_secret_comes_with_the_image_that_needs_it() {
    let rule = "{source: docker.io, mirror: harbor.local/hub, pullSecret: harbor}";
    let app = app(&format!("mirror: {{rules: [{rule}]}}"));
    let digest = app.registry.push("nginx:1.27");
    app.registry.put("harbor.local/hub/library/nginx:any", &digest);
    app.registry.push("redis:7");
    let secrets = async |images: &[&str], before: Value| {
        let container = |image| json!({"name": "c", "image": image, "imagePullPolicy": "IfNotPresent"});
        let mut object = pod(&images.iter().map(container).collect());
        object["spec"]["imagePullSecrets"] = before;
        create(&app, &object).await.0["spec"]["imagePullSecrets"].clone()
    };
    let harbor = json!([{"name": "harbor"}]);
    assert_eq!(secrets(&["nginx:1.27"], json!(null)).await, harbor);
    assert_eq!(secrets(&["nginx:1.27", "nginx:1.27"], json!([])).await, harbor, "once");
    assert_eq!(secrets(&["nginx:1.27"], harbor.clone()).await, harbor);
    assert_eq!(secrets(&["nginx:1.27"], json!([{"name": "a"}])).await, json!([{"name": "a"}, {"name": "harbor"}]));
    assert_eq!(secrets(&["redis:7"], json!(null)).await, json!(null), "the mirror does not have it");
    assert_eq!(secrets(&["quay.io/other:1"], json!(null)).await, json!(null));

    // A running Pod cannot get one.
    let mut debug = review_of(&json!({"metadata": {"name": "p"}, "spec": {
        "containers": [], "ephemeralContainers": [{"name": "e", "image": "nginx:1.27"}],
    }}));
    debug["request"]["operation"] = json!("UPDATE");
    debug["request"]["subResource"] = json!("ephemeralcontainers");
    let response = ask(&app, Mode::Enforce, &debug).await;
    let paths: Vec<_> = patch_of(&response).iter().map(|operation| operation["path"].clone()).collect();
    assert_eq!(paths, ["/spec/ephemeralContainers/0/image"]);
    assert!(response["warnings"].to_string().contains("needs pull secret harbor: it cannot be added"), "{response}");
}

#[tokio::test]
async fn a_mirror_that_knows_the_tag_and_lacks_the_content_does_not_serve() {
    let rule =
        |fallback| format!("{{source: docker.io, mirror: harbor.local/proxy, resolve: mirror, fallback: {fallback}}}");
    for fallback in ["source", "deny"] {
        let app = app(&format!("mirror: {{rules: [{}]}}", rule(fallback)));
        let digest = app.registry.push("harbor.local/proxy/library/nginx:latest");
        app.registry.delete(&format!("harbor.local/proxy/library/nginx@{digest}"));
        let (after, response) = create(&app, &pod_of("nginx", "IfNotPresent")).await;
        if fallback == "deny" {
            let denial = denial(&response);
            assert!(denial.contains("push it to harbor.local/proxy/library/nginx"), "{denial}");
        } else {
            assert_eq!(image(&after), "nginx");
        }
    }
}

#[tokio::test]
async fn the_next_mirror_is_asked_where_the_first_has_nothing() {
    let rules = "[{source: docker.io, mirror: one.local/hub}, {source: docker.io, mirror: two.local/hub}]";
    let app = app(&format!("mirror: {{rules: {rules}}}"));
    let digest = app.registry.push("nginx:1.27");
    app.registry.put("two.local/hub/library/nginx:any", &digest);
    let (after, response) = create(&app, &pod_of("nginx:1.27", "IfNotPresent")).await;
    assert_eq!(image(&after), format!("two.local/hub/library/nginx:1.27@{digest}"));
    let at = |host: &str| format!("{host}/hub/library/nginx@{digest}");
    assert_eq!(app.registry.asked()[1..], [at("one.local"), at("two.local")]);
    assert!(!response.to_string().contains("not mirrored"), "{response}");
}

#[tokio::test]
async fn what_people_push_to_the_local_registry_is_never_mirrored() {
    let mut app = app("registries: [{host: 'localhost:5001'}]\n\
        place: {local: [petstore]}\n\
        mirror: {rules: [{source: 'localhost:5001', mirror: harbor.local/local}, {source: docker.io, mirror: harbor.local/hub}]}");
    let mut config = (*app.config).clone();
    config.registries[0].local = true;
    app.config = Arc::new(config);
    let digest = app.registry.push("localhost:5001/app:latest");
    app.registry.put("harbor.local/local/app:latest", &digest);
    let (after, _) = create(&app, &pod_of("localhost:5001/app:latest", "IfNotPresent")).await;
    assert_eq!(image(&after), format!("localhost:5001/app:latest@{digest}"));
    create(&app, &pod_of("petstore:dev", "IfNotPresent")).await;
    assert_eq!(app.registry.asked(), ["localhost:5001/app:latest"]);
}

#[tokio::test]
async fn until_a_node_has_pulled_from_the_mirror_people_are_told_what_to_check() {
    let mut app = app("mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}");
    let digest = app.registry.push("redis:7");
    app.registry.put("harbor.local/hub/library/redis:7", &digest);
    let object = pod_of("redis:7", "IfNotPresent");
    let (after, response) = create(&app, &object).await;
    let said = warning(&response);
    assert!(said.contains("nodes have not pulled from harbor.local yet: check DNS, CA, pull secret"), "{said}");
    assert!(after["metadata"].get("labels").is_none(), "nothing is known to be wrong");

    let mut index = nodes(50);
    let pulled = format!("harbor.local/other@sha256:{}", "5".repeat(64));
    index.apply(
        &serde_json::from_value(json!({"metadata": {"name": "c"}, "status": {"images": [{"names": [pulled]}]}}))
            .unwrap(),
    );
    app.nodes = Some(Arc::new(Nodes::fixed(index)));
    let (_, response) = create(&app, &object).await;
    assert!(response.get("warnings").is_none(), "{response}");
}

#[tokio::test]
async fn a_mirror_without_the_image_is_usual_and_one_that_fails_is_not() {
    let app = app("mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}");
    let digest = app.registry.push("redis:latest");
    let (after, _) = create(&app, &pod_of("redis", "IfNotPresent")).await;
    assert!(after["metadata"].get("labels").is_none(), "{after}");
    let down = Error::Unreachable { host: "harbor.local".to_owned(), reason: "refused".to_owned() };
    app.registry.fail(&format!("harbor.local/hub/library/redis@{digest}"), down);
    let (after, _) = create(&app, &pod_of("redis", "IfNotPresent")).await;
    assert_eq!(image(&after), format!("redis@{digest}"));
    assert_eq!(after["metadata"]["labels"]["berth.dev/attention"], "true");
}

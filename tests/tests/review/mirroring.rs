//! Which mirror is asked for what, and whose digest is written.

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

#[tokio::test]
async fn the_hosts_of_rules_are_compared_exactly() {
    let app = app("mirror: {rules: [{source: mirror.internal, mirror: harbor.local/internal}]}");
    for image in ["mirror.internal.evil.com/a:1", "evil.com/mirror.internal/a:1", "mirror.internal:5000/a:1"] {
        let response = ask(&app, Mode::Enforce, &review_of(&pod_of(image, "IfNotPresent"))).await;
        assert!(response.get("patch").is_none(), "{image}: {response}");
    }
    assert_eq!(app.registry.questions(), 0);
}

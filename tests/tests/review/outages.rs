//! A registry that cannot be asked: what it said before, by pull policy.

use berth::registry::Error;

use super::*;

fn down() -> Error {
    Error::Unreachable { host: "docker.io".to_owned(), reason: "connection refused".to_owned() }
}

/// What both nodes list for `docker.io/library/nginx`.
const ON_NODES: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const ELSEWHERE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// Berth while the registry is down, and remembered to have said `digest` three minutes ago.
fn remembering(settings: &str, digest: &str) -> App<Fake> {
    let app = app(settings);
    app.registry.remember("nginx:latest", &digest.parse().unwrap(), Duration::from_secs(180));
    app.registry.down(Some(down()));
    app
}

#[tokio::test]
async fn the_last_digest_stands_in_where_the_node_need_not_ask() {
    for failure in ["admit", "deny"] {
        let app = remembering(&format!("pin: {{onFailure: {failure}}}"), ELSEWHERE);
        let (after, response) = create(&app, &pod_of("nginx:latest", "IfNotPresent")).await;
        assert_eq!(image(&after), format!("nginx:latest@{ELSEWHERE}"));
        assert!(after["spec"].get("affinity").is_none(), "{after}");
        let said = warning(&response);
        assert!(said.starts_with("berth: c: pinned as 3m ago: docker.io"), "{said}");
        assert_eq!(after["metadata"]["labels"]["berth.dev/attention"], "true");
        assert!(after["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap().contains("pinned as 3m ago"));
        let done = response["auditAnnotations"]["done"].as_str().unwrap();
        assert!(done.ends_with(&format!("-> nginx:latest@{ELSEWHERE} (last known good)")), "{done}");
        let metrics = app.metrics.encode().unwrap();
        assert!(metrics.contains(r#"berth_pins_total{outcome="last_known_good"} 1"#), "{metrics}");
        assert!(ask(&app, Mode::Enforce, &review_of(&after)).await.get("patch").is_none());
    }
}

#[tokio::test]
async fn always_stays_as_it_is_unless_a_node_has_just_that_build() {
    let app = remembering("", ELSEWHERE);
    let (after, response) = create(&app, &pod_of("nginx", "Always")).await;
    assert_eq!((image(&after), &after["spec"]["containers"][0]["imagePullPolicy"]), ("nginx", &json!("Always")));
    assert!(warning(&response).contains("not pinned: docker.io"), "{response}");

    let app = remembering("", ON_NODES);
    let (after, response) = create(&app, &pod_of("nginx", "Always")).await;
    assert_eq!(image(&after), format!("nginx@{ON_NODES}"));
    assert_eq!(after["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert!(warning(&response).contains("pinned as 3m ago"), "{response}");
    // Both nodes have it: there is nothing to prefer. Where only one has it, that one is.
    assert!(after["spec"].get("affinity").is_none(), "{after}");
    let mut app = remembering("", ON_NODES);
    let mut index = nodes(50);
    index.apply(
        &serde_json::from_value(json!({"metadata": {"name": "b", "labels": {"kubernetes.io/hostname": "b"}},
        "status": {"images": [{"names": ["pause:1"]}], "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.4"}}}))
        .unwrap(),
    );
    app.nodes = Some(Arc::new(Nodes::fixed(index)));
    let (after, _) = create(&app, &pod_of("nginx", "Always")).await;
    let preferred = &after["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(preferred["preference"]["matchExpressions"][0]["values"], json!(["a"]), "{after}");
    assert!(ask(&app, Mode::Enforce, &review_of(&after)).await.get("patch").is_none());

    let denying = remembering("pin: {onFailure: deny}", ELSEWHERE);
    let (_, response) = create(&denying, &pod_of("nginx", "Always")).await;
    assert!(denial(&response).contains("could not be pinned"), "{response}");
}

#[tokio::test]
async fn lists_that_are_too_old_prove_nothing() {
    let mut app = remembering("", ON_NODES);
    let mut index = nodes(50);
    let now = Now::read();
    index.hear(Now { instant: now.instant.checked_sub(Duration::from_secs(3600)).unwrap(), ..now });
    app.nodes = Some(Arc::new(Nodes::fixed(index)));
    let (after, _) = create(&app, &pod_of("nginx", "Always")).await;
    assert_eq!(image(&after), "nginx");
    app.nodes = None;
    let (after, _) = create(&app, &pod_of("nginx", "Always")).await;
    assert_eq!(image(&after), "nginx");
}

#[tokio::test]
async fn a_registry_that_says_no_or_lies_is_not_served_from_memory() {
    let host = || "docker.io".to_owned();
    for said in [
        None, // 404
        Some(Error::Unauthorized { host: host(), image: "nginx".to_owned(), anonymous: false }),
        Some(Error::Forbidden { host: host(), image: "nginx".to_owned(), anonymous: false, to_all: false }),
        Some(Error::Untrusted { host: host(), reason: "a login page".to_owned() }),
        Some(Error::NotAllowed { host: host(), reason: "docker.io is not listed".to_owned() }),
    ] {
        let app = remembering("", ELSEWHERE);
        app.registry.down(said.clone());
        let (after, response) = create(&app, &pod_of("nginx:latest", "IfNotPresent")).await;
        assert_eq!(image(&after), "nginx:latest", "{said:?}");
        assert!(warning(&response).contains("not pinned"), "{response}");
    }
    for outage in [
        down(),
        Error::TooMany { host: host(), retry_after: None },
        Error::TimedOut { host: host(), limit: Duration::from_secs(1) },
        Error::Paused { host: host(), last: "failed".to_owned(), again_in: Duration::from_secs(1) },
    ] {
        let app = remembering("", ELSEWHERE);
        app.registry.down(Some(outage));
        let (after, _) = create(&app, &pod_of("nginx:latest", "IfNotPresent")).await;
        assert_eq!(image(&after), format!("nginx:latest@{ELSEWHERE}"));
    }
}

#[tokio::test]
async fn mirrors_are_asked_for_what_the_source_said_before() {
    let app = app("mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}");
    app.registry.remember("nginx:1.27", &ELSEWHERE.parse().unwrap(), Duration::from_secs(180));
    app.registry.fail("nginx:1.27", down());
    app.registry.put("harbor.local/hub/library/nginx:any", &ELSEWHERE.parse().unwrap());
    let (after, response) = create(&app, &pod_of("nginx:1.27", "IfNotPresent")).await;
    assert_eq!(image(&after), format!("harbor.local/hub/library/nginx:1.27@{ELSEWHERE}"));
    assert!(response["warnings"].to_string().contains("pinned as 3m ago"), "{response}");
    let (after, _) = create(&app, &pod_of("nginx:1.27", "Always")).await;
    assert_eq!(image(&after), "nginx:1.27", "the kubelet may reach the source");
}

#[tokio::test]
async fn what_a_mirror_said_before_keeps_strangers_out() {
    let rule = "{source: docker.io, mirror: 'localhost:30500', resolve: mirror, fallback: deny}";
    let app = app(&format!("mirror: {{rules: [{rule}]}}"));
    app.registry.push("nginx:latest"); // a stranger's
    app.registry.remember("localhost:30500/library/nginx:latest", &ELSEWHERE.parse().unwrap(), Duration::from_secs(9));
    app.registry.fail("localhost:30500/library/nginx:latest", down());
    let (after, response) = create(&app, &pod_of("nginx", "IfNotPresent")).await;
    assert_eq!(image(&after), format!("localhost:30500/library/nginx@{ELSEWHERE}"));
    assert!(response["warnings"].to_string().contains("pinned as 9s ago"), "{response}");
    let (_, response) = create(&app, &pod_of("nginx", "Always")).await;
    assert!(denial(&response).contains("no mirror has image nginx"), "{response}");
    let asked = app.registry.asked();
    assert!(asked.iter().all(|asked| asked.starts_with("localhost:30500/")), "{asked:?}");
}

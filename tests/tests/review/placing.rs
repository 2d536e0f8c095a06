//! Where a Pod may run, by what its images turn out to be.

use berth::{admission::gated, registry::Error};

use super::*;

#[tokio::test]
async fn never_goes_where_the_image_is() {
    let app = app("");
    let (after, _) = create(&app, &pod_of("petstore:dev", "Never")).await;
    assert_eq!(required(&after), &json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}));
    assert_eq!((image(&after), app.registry.questions()), ("petstore:dev", 0));
}

#[tokio::test]
async fn init_containers_and_image_volumes_decide_as_containers_do() {
    let with = |init: &str, volume: &str| {
        let mut object = pod_of("nginx:1", "IfNotPresent");
        object["spec"]["initContainers"] = json!([{"name": "first", "image": init, "imagePullPolicy": "Never"}]);
        object["spec"]["volumes"] = json!([{"name": "data", "image": {"reference": volume, "pullPolicy": "Never"}}]);
        object
    };
    let app = app_with_controller("");
    let (after, _) = create(&app, &with("petstore:dev", "petstore:dev")).await;
    assert_eq!(required(&after)["values"], json!(["a"]));
    let mut volume = with("loaded:dev", "loaded:dev");
    volume["spec"].as_object_mut().unwrap().remove("initContainers");
    let (after, _) = create(&app, &volume).await;
    assert_eq!(required(&after)["values"], json!(["b"]));
    let (after, response) = create(&app, &with("petstore:dev", "loaded:dev")).await;
    assert_eq!(after["spec"]["schedulingGates"], json!([{"name": "berth.dev/image-on-node"}]));
    let words = "no node has both petstore:dev and loaded:dev (a has petstore:dev, b has loaded:dev)";
    assert!(response["warnings"].to_string().contains("petstore:dev and loaded:dev"), "{response}");
    assert!(after["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap().contains(words), "{after}");
}

/// Registries are asked at the review and never again: what they said stays on the Pod.
#[tokio::test]
async fn a_gated_pod_waits_for_what_no_registry_had_and_for_nothing_else() {
    let app = app_with_controller("");
    let mut object = pod_of("petstore:dev", "IfNotPresent"); // on `a`, and in no registry
    let side = json!({"name": "side", "image": "envoyproxy/envoy:v1.30", "imagePullPolicy": "IfNotPresent"});
    object["spec"]["containers"].as_array_mut().unwrap().push(side);
    let (after, _) = create(&app, &object).await;
    assert_eq!(after["metadata"]["annotations"], json!({LOCAL_IMAGES: "petstore:dev"}), "for when it is stuck");
    object["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "b"});
    let (after, _) = create(&app, &object).await;
    assert_eq!(after["spec"]["schedulingGates"], json!([{"name": "berth.dev/image-on-node"}]));
    assert_eq!(after["metadata"]["annotations"][LOCAL_IMAGES], "petstore:dev");
    let (again, response) = create(&app, &after).await;
    assert!(again == after && patch_of(&response).is_empty(), "{response}");

    let text = after.to_string();
    let pod = serde_json::from_str(&text).unwrap();
    let fate = |index: &Index| {
        let (config, now) = (&app.config, Instant::now());
        gated::fate(&pod, "shop", gated::Scene { config, own_namespace: "berth-system", index, now })
    };
    let mut index = nodes(50);
    let gated::Fate::Wait(notes) = fate(&index) else { panic!("{:?}", fate(&index)) };
    assert!(notes[0].text.starts_with("waits, since no node that it can use has petstore:dev (a "), "{notes:?}");
    index.apply(&node("b", &json!([imported("docker.io/library/petstore:dev")])));
    let gated::Fate::Go(placement) = fate(&index) else { panic!("{:?}", fate(&index)) };
    assert!(placement.held, "{placement:?}");

    // What is local as it is written need not be said, nor what may run wherever the Pod can.
    object["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "a"});
    let (after, _) = create(&app, &object).await;
    assert!(!after.to_string().contains("berth.dev/"), "{after}");
    for (image, policy) in [("petstore:dev", "Never"), ("nginx:1", "IfNotPresent"), ("nowhere:dev", "IfNotPresent")] {
        let (after, _) = create(&app, &pod_of(image, policy)).await;
        assert!(after["metadata"]["annotations"].get(LOCAL_IMAGES).is_none(), "{after}");
    }
}

const LOCAL_IMAGES: &str = "berth.dev/local-images";

#[tokio::test]
async fn one_nodes_claim_alone_moves_no_pod_that_could_be_pulled() {
    let app = app("pin: {tags: ['*']}");
    let object = pod_of("petstore:dev", "IfNotPresent");
    let (after, _) = create(&app, &object).await; // the registry says 404: it could run nowhere else
    assert_eq!(required(&after)["values"], json!(["a"]));
    let digest = app.registry.push("petstore:dev");
    let (after, response) = create(&app, &object).await;
    assert_eq!(image(&after), format!("petstore:dev@{digest}"));
    assert!(after["spec"].get("affinity").is_none());
    assert!(warning(&response).contains("nodes hold an import"), "{response}");
}

#[tokio::test]
async fn who_infers_what_is_local_prefers_the_nodes_that_have_it() {
    let app = app("profile: dev");
    app.registry.push("petstore:dev");
    let (after, _) = create(&app, &pod_of("petstore:dev", "IfNotPresent")).await;
    assert_eq!(image(&after), "petstore:dev");
    let affinity = after["spec"]["affinity"].to_string();
    assert!(affinity.contains("preferredDuring") && !affinity.contains("requiredDuring"), "{affinity}");
}

#[tokio::test]
async fn what_nobody_has_is_denied_admitted_or_waits_for_a_node() {
    let object = pod_of("nowhere:dev", "Never");
    let (_, response) = create(&app("place: {onMissing: deny}"), &object).await;
    assert!(denial(&response).contains("nowhere:dev"), "{response}");
    let (after, response) = create(&app("place: {onMissing: admit}"), &object).await;
    assert!(after["spec"].get("schedulingGates").is_none() && response["allowed"] == true);
    assert!(warning(&response).contains("nowhere:dev"), "{response}");
    let (after, _) = create(&app_with_controller(""), &object).await;
    assert_eq!(after["spec"]["schedulingGates"], json!([{"name": "berth.dev/image-on-node"}]));
    // Without a controller nobody would lift the gate: `wait` acts as `admit`.
    let (after, response) = create(&app(""), &object).await;
    assert!(after["spec"].get("schedulingGates").is_none() && response["allowed"] == true);
}

/// A runtime takes it for an image that it has, whatever its names: no list shows which node that is.
#[tokio::test]
async fn an_image_id_is_left_alone() {
    let id = format!("sha256:{}", "e3b0c442".repeat(8));
    for (settings, policy) in [("", "Never"), ("place: {onMissing: deny}", "Never"), ("profile: dev", "IfNotPresent")] {
        let app = app_with_controller(settings);
        let object = pod_of(&id, policy);
        let (mut after, response) = create(&app, &object).await;
        assert!(warning(&response).contains("c: `sha256:e3b0c442e3b0…` is an image ID"), "{response}");
        assert!(after["metadata"]["annotations"].take().is_object());
        after["metadata"].as_object_mut().unwrap().remove("annotations");
        assert_eq!((&after, app.registry.questions()), (&object, 0), "{settings}");
    }
    // What else the Pod needs decides.
    let mut both = pod_of("petstore:dev", "Never");
    both["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "id", "image": id, "imagePullPolicy": "Never"}));
    let (after, _) = create(&app_with_controller(""), &both).await;
    assert_eq!(required(&after)["values"], json!(["a"]));
}

#[tokio::test]
async fn a_changed_policy_is_written_at_admission() {
    let app = app("place: {pullPolicy: IfNotPresent}");
    let (after, _) = create(&app, &pod_of("petstore:dev", "Always")).await;
    assert_eq!(after["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(required(&after)["values"], json!(["a"]));
}

/// A cluster in which one kubelet claims `claims`, in its list without a digest and as loaded just now.
fn claimed(settings: &str, claims: &[&str]) -> App<Fake> {
    let images: Vec<_> = claims.iter().map(|name| json!({"names": [name], "sizeBytes": 1})).collect();
    let at = json!({"at": jiff_now()});
    let loaded: serde_json::Map<String, Value> = claims.iter().map(|name| ((*name).to_owned(), at.clone())).collect();
    let liar: Node = serde_json::from_value(json!({
        "metadata": {
            "name": "liar", "labels": {"kubernetes.io/hostname": "liar"},
            "annotations": {"berth.dev/loaded": Value::Object(loaded).to_string()},
        },
        "status": {
            "images": images, "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3"},
        },
    }))
    .unwrap();
    let mut index = nodes(50);
    index.apply(&liar);
    App { nodes: Some(Arc::new(Nodes::fixed(index))), ..app(settings) }
}

/// Now, as a Node would have it.
fn jiff_now() -> String {
    Now::read().wall.to_string()
}

#[tokio::test]
async fn what_a_kubelet_claims_moves_unpins_and_unmirrors_nothing_that_can_be_pulled() {
    let settings = "mirror: {rules: [{source: ghcr.io, mirror: harbor.local/ghcr}]}";
    let claims = ["docker.io/library/redis:latest", "docker.io/library/redis:7", "ghcr.io/x/y:1", "ghcr.io/x/y:latest"];
    let (lied, honest) = (claimed(settings, &claims), claimed(settings, &[]));
    for app in [&lied, &honest] {
        for image in ["redis:latest", "redis:7", "ghcr.io/x/y:latest"] {
            app.registry.put(image, &format!("sha256:{}", "5".repeat(64)).parse().unwrap());
        }
        let digest = app.registry.push("ghcr.io/x/y:1");
        app.registry.put("harbor.local/ghcr/x/y:1", &digest);
    }
    for image in ["redis", "redis:7", "ghcr.io/x/y:1", "ghcr.io/x/y"] {
        for policy in ["Always", "IfNotPresent"] {
            let object = pod_of(image, policy);
            let (mut after, mut want) = (create(&lied, &object).await.0, create(&honest, &object).await.0);
            // A note may say that two images share the name.
            for object in [&mut after, &mut want] {
                object["metadata"]["annotations"].take();
                object["metadata"]["labels"].take();
            }
            assert_eq!(after, want, "{image} {policy}");
        }
    }
    // A registry that cannot be asked: preferred at most.
    for image in ["redis:latest", "redis:7"] {
        let down = Error::Unreachable { host: "docker.io".to_owned(), reason: "refused".to_owned() };
        lied.registry.fail(image, down);
        let (after, _) = create(&lied, &pod_of(image, "IfNotPresent")).await;
        assert!(!after.to_string().contains("requiredDuring"), "{after}");
        assert!(after["spec"].get("schedulingGates").is_none());
    }
}

/// Docker Hub refuses strangers what is private as well as what does not exist: whoever pulls by a secret is no stranger.
#[tokio::test]
async fn what_a_pull_secret_may_open_is_moved_by_no_claim() {
    let app = claimed("", &["docker.io/acme/private:v1"]);
    let (host, image) = ("docker.io".to_owned(), "acme/private:v1".to_owned());
    for error in [
        Error::Unauthorized { host: host.clone(), image: image.clone(), anonymous: true },
        Error::Forbidden { host, image, anonymous: false, to_all: true },
    ] {
        app.registry.fail("acme/private:v1", error);
        for policy in ["Always", "IfNotPresent"] {
            let mut object = pod_of("acme/private:v1", policy);
            let (without, response) = create(&app, &object).await;
            let moved =
                without.to_string().contains("requiredDuring") || warning(&response).contains("no registry has it");
            assert!(moved, "{policy}: {without}");
            object["spec"]["imagePullSecrets"] = json!([{"name": "hub"}]);
            let (with, response) = create(&app, &object).await;
            assert!(!with.to_string().contains("requiredDuring"), "{policy}: {with}");
            assert!(!response.to_string().contains("no registry has it"), "{policy}: {response}");
            assert!(with["spec"].get("schedulingGates").is_none() && response["allowed"] == true, "{policy}");
        }
    }
}

#[tokio::test]
async fn a_template_is_only_told_where_its_pods_would_run() {
    let app = app("place: {pullPolicy: IfNotPresent, provided: [{images: [baked], nodes: {matchLabels: {pool: a}}}]}");
    let decided = async |image: &str, policy: &str| {
        let text = pod_of(image, policy).to_string();
        let pod = serde_json::from_str(&text).unwrap();
        let subject = berth::admission::Subject {
            pod: &pod,
            old: None,
            namespace: "shop",
            moment: berth::admission::Moment::Template,
            proven: false,
        };
        let verdict = app.decide(&subject, Instant::now() + Duration::from_secs(5)).await;
        let patch = serde_json::to_string(&verdict.patch).unwrap();
        assert!(!patch.contains("ffinity") && !patch.contains("schedulingGates"), "{patch}");
        (patch, verdict.placement)
    };
    let (patch, placement) = decided("petstore:dev", "Always").await;
    assert!(patch.contains("imagePullPolicy") && placement.required.is_some(), "{patch}");
    let (_, placement) = decided("baked:dev", "Never").await;
    assert_eq!(placement.provided.len(), 1);
    let (_, placement) = decided("nowhere:dev", "Never").await;
    assert!(!placement.gate, "{placement:?}");
}

/// The one expression of the one required term.
fn required(object: &Value) -> &Value {
    let required = &object["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    &required["nodeSelectorTerms"][0]["matchExpressions"][0]
}

#[tokio::test]
async fn a_crowd_of_different_images_costs_by_its_size() {
    let one =
        |number| json!({"name": format!("c{number}"), "image": format!("app-{number}"), "imagePullPolicy": "Never"});
    let object = pod(&json!((0..30_000).map(one).collect::<Vec<_>>()));
    let began = std::time::Instant::now();
    let response = ask(&app_with_controller(""), Mode::Enforce, &review_of(&object)).await;
    assert_eq!(response["allowed"], true);
    assert!(began.elapsed().as_secs() < 20, "each was compared with each: {:?}", began.elapsed());
}

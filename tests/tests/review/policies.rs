//! `Always` that becomes `IfNotPresent`, and never so that the API server's plugin `AlwaysPullImages` would refuse a Pod.

use super::*;

fn policy(object: &Value) -> &str {
    object["spec"]["containers"][0]["imagePullPolicy"].as_str().unwrap()
}

/// What the plugin does between two calls.
fn set_back(mut object: Value) -> Value {
    for list in ["initContainers", "containers"] {
        for container in object["spec"][list].as_array_mut().into_iter().flatten() {
            container["imagePullPolicy"] = json!("Always");
        }
    }
    object
}

#[tokio::test]
async fn what_is_pinned_now_is_not_pulled_at_each_start() {
    let app = app("pin: {tags: ['*'], pullPolicy: IfNotPresent}");
    let digest = app.registry.push("app:v1");
    let (after, response) = create(&app, &pod_of("app:v1", "Always")).await;
    assert_eq!((image(&after), policy(&after)), (&*format!("app:v1@{digest}"), "IfNotPresent"));
    assert!(response["auditAnnotations"]["done"].as_str().unwrap().contains("imagePullPolicy Always -> IfNotPresent"));
    // What has its digest is left as its maker, or the plugin, wants it.
    let set_back = set_back(after);
    assert!(ask(&app, Mode::Enforce, &review_of(&set_back)).await.get("patch").is_none());
    let (after, _) = create(&self::app("pin: {tags: ['*']}"), &pod_of("app:v1", "Always")).await;
    assert_eq!(policy(&after), "Always", "keep is the default");
}

#[tokio::test]
async fn what_is_mirrored_now_is_not_pulled_at_each_start() {
    let app = app("pin: {pullPolicy: IfNotPresent}\nmirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}");
    let digest = app.registry.push("nginx:1.27");
    app.registry.put("harbor.local/hub/library/nginx:any", &digest);
    let (after, _) = create(&app, &pod_of("nginx:1.27", "Always")).await;
    assert_eq!(policy(&after), "IfNotPresent");
    // What has its digest is asked for at each start because somebody wants that.
    let containers = json!([
        {"name": "c", "image": format!("nginx:1.27@{digest}"), "imagePullPolicy": "Always"},
        {"name": "d", "image": "nginx:1.27", "imagePullPolicy": "IfNotPresent"},
    ]);
    let (after, _) = create(&app, &pod(&containers)).await;
    assert_eq!((image(&after), policy(&after)), (&*format!("harbor.local/hub/library/nginx:1.27@{digest}"), "Always"));
}

#[tokio::test]
async fn what_was_set_back_is_not_relaxed_again() {
    let app = app("pin: {pullPolicy: IfNotPresent}\nplace: {pullPolicy: IfNotPresent}");
    let (once, _) = create(&app, &pod_of("petstore:dev", "Always")).await;
    assert_eq!(policy(&once), "IfNotPresent");
    let (twice, response) = create(&app, &set_back(once)).await;
    assert_eq!(policy(&twice), "Always");
    assert!(warning(&response).contains("it cannot start"), "{response}");

    // A sidecar that comes between the calls, into a Pod in which nothing was changed.
    app.registry.push("sidecar:latest");
    let untouched = create(&app, &pod_of("app:1", "Always")).await.0;
    let digest = "7".repeat(64);
    for main in ["app:1".to_owned(), format!("app@sha256:{digest}"), format!("app:latest@sha256:{digest}")] {
        let mut injected = untouched.clone();
        injected["spec"]["containers"][0]["image"] = json!(main);
        let sidecar = json!({"name": "s", "image": "sidecar", "imagePullPolicy": "Always"});
        injected["spec"]["containers"].as_array_mut().unwrap().push(sidecar);
        let (after, _) = create(&app, &injected).await;
        let sidecar = &after["spec"]["containers"][1];
        assert!(sidecar["image"].as_str().unwrap().contains("@sha256:"), "{after}");
        assert_eq!(sidecar["imagePullPolicy"], "Always", "{main}");
        // Where the plugin is off, one look at the others shows it.
        injected["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
        let (after, _) = create(&app, &injected).await;
        assert_eq!(after["spec"]["containers"][1]["imagePullPolicy"], "IfNotPresent", "{main}");
    }
}

#[tokio::test]
async fn several_containers_are_relaxed_together() {
    let app = app("pin: {tags: ['v*', latest], pullPolicy: IfNotPresent}");
    for image in ["a:v1", "b:v2", "c:latest"] {
        app.registry.push(image);
    }
    let container = |image: &str| json!({"name": &image[..1], "image": image, "imagePullPolicy": "Always"});
    let (after, _) = create(&app, &pod(&json!(["a:v1", "b:v2", "c:latest"].map(container)))).await;
    for container in after["spec"]["containers"].as_array().unwrap() {
        assert_eq!(container["imagePullPolicy"], "IfNotPresent", "{after}");
    }
}

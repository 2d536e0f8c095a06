//! What is said about the Pods of a workload before they are made: bytes in, lines out.

use berth::{namespaces::Namespaces, registry::Error};

use super::*;

/// A workload of `kind` whose Pods have `containers`, and the review of its creation.
fn workload(resource: &str, containers: &Value) -> Value {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}});
    let spec = match resource {
        "cronjobs" => json!({"jobTemplate": {"spec": {"template": template}}}),
        _ => json!({"template": template}),
    };
    let mut review = review_of(&json!({"metadata": {"name": "web"}, "spec": spec}));
    let group = if resource.ends_with("jobs") { "batch" } else { "apps" };
    review["request"]["resource"] = json!({"group": group, "version": "v1", "resource": resource});
    review
}

fn deployment(image: &str, policy: &str) -> Value {
    workload("deployments", &json!([{"name": "c", "image": image, "imagePullPolicy": policy}]))
}

/// The template in the review of a Deployment.
fn template(review: &mut Value) -> &mut Value {
    &mut review["request"]["object"]["spec"]["template"]
}

/// What is said. Nothing is ever changed or refused.
async fn said(app: &App<Fake>, mode: Mode, review: &Value) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let body = app.warn(mode, Caller::Anyone, review.to_string().as_bytes(), deadline).await.unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let mut response = answer["response"].clone();
    let warnings = response.as_object_mut().unwrap().remove("warnings").unwrap_or_else(|| json!([]));
    assert_eq!(response, json!({"uid": "u-1", "allowed": true}), "only lines may stand there besides");
    serde_json::from_value(warnings).unwrap()
}

#[track_caller]
fn check(said: &[String], want: &[&str]) {
    assert_eq!(said, want);
}

#[tokio::test]
async fn what_goes_well_is_not_mentioned() {
    let app = app("mirror: {rules: [{source: quay.io, mirror: harbor.local/quay}]}");
    app.registry.push("nginx:latest");
    let digest = app.registry.push("quay.io/app:v1");
    app.registry.put("harbor.local/quay/app:any", &digest);
    for (image, policy) in [("nginx", "Always"), ("nginx:1.27", "IfNotPresent"), ("petstore:dev", "Never")] {
        check(&said(&app, Mode::Enforce, &deployment(image, policy)).await, &[]);
    }
    // What nodes have not pulled from yet may be in their way: that is a note.
    let lines = said(&app, Mode::Enforce, &deployment("quay.io/app:v1", "IfNotPresent")).await;
    check(&lines, &["berth: web: c: nodes have not pulled from harbor.local yet: check DNS, CA, pull secret there"]);
}

#[tokio::test]
async fn what_cannot_be_pulled_is_said_for_every_kind() {
    let app = app("");
    let want = "berth: web: c: not pinned: docker.io has no such image: push it or correct the name: gone";
    for resource in ["deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs"] {
        let review = workload(resource, &json!([{"name": "c", "image": "gone"}]));
        check(&said(&app, Mode::Enforce, &review).await, &[want]);
    }
}

#[tokio::test]
async fn whose_pods_would_wait_be_refused_or_fail_is_told() {
    let load = "`ctr -n k8s.io images import FILE` on a node or `berth load nowhere:dev --via COMMAND`";
    let load = format!("berth: web: … {load}");
    let object = deployment("nowhere:dev", "Never");
    let lines = said(&app_with_controller(""), Mode::Enforce, &object).await;
    check(&lines, &["berth: web: c: waits, since no node has nowhere:dev:", &load]);
    let lines = said(&app("place: {onMissing: admit}"), Mode::Enforce, &object).await;
    check(&lines, &["berth: web: c: no node has nowhere:dev:", &load]);
    let lines = said(&app(""), Mode::Enforce, &object).await;
    assert!(lines[0].contains("nor can it wait without berth controller"), "{lines:?}");
    let denying = app("place: {onMissing: deny}");
    let lines = said(&denying, Mode::Enforce, &object).await;
    assert!(
        lines[0].starts_with("berth: web: its Pods are refused: no node has nowhere:dev: load it first"),
        "{lines:?}"
    );
    let lines = said(&denying, Mode::Observe, &object).await;
    assert!(lines[0].starts_with("berth observes: web: its Pods would be refused: no node"), "{lines:?}");

    let lines = said(&app(""), Mode::Enforce, &deployment("petstore:dev", "Always")).await;
    let asks = "no registry has it, and the kubelet asks one at each start: set imagePullPolicy: IfNotPresent";
    check(&lines, &[&format!("berth: web: c: {asks}")]);
}

#[tokio::test]
async fn a_registry_that_is_down_is_the_pods_outcome_in_words() {
    let down = Error::Unreachable { host: "docker.io".to_owned(), reason: "connection refused".to_owned() };
    let containers = json!([{"name": "a", "image": "nginx"}, {"name": "b", "image": "busybox"}]);
    let review = workload("deployments", &containers);
    let admitting = app("");
    admitting.registry.down(Some(down.clone()));
    let lines = said(&admitting, Mode::Enforce, &review).await;
    check(&lines, &["berth: web: a, b: not pinned: docker.io: connection refused"]);
    let denying = app("pin: {onFailure: deny}");
    denying.registry.down(Some(down));
    let want = [
        "berth: web: its Pods are refused: a: image nginx could not be pinned: docker.io: connection refused (pin.onFailure is",
        "berth: web: … deny; a Pod of that registry itself needs the annotation berth.dev/skip: pin)",
    ];
    check(&said(&denying, Mode::Enforce, &review).await, &want);
}

#[tokio::test]
async fn a_daemon_set_is_told_which_of_its_nodes_lack_its_image() {
    let review = workload("daemonsets", &json!([{"name": "c", "image": "petstore:dev", "imagePullPolicy": "Never"}]));
    let lines = said(&app_with_controller(""), Mode::Enforce, &review).await;
    let load = "`ctr -n k8s.io images import FILE` on a node or `berth load petstore:dev --via COMMAND`";
    check(&lines, &["berth: web: c: b lacks petstore:dev:", &format!("berth: web: … {load}")]);
}

#[tokio::test]
async fn those_left_alone_are_left_alone() {
    let app = App {
        namespaces: Some(Arc::new(Namespaces::fixed([("calm", "pin"), ("out", "pin,mirror,place")]))),
        ..app("skipOwners: [apps/StatefulSet]\ntenants: {maySkip: [pin, mirror]}")
    };
    let gone = deployment("gone", "Always");
    for namespace in ["kube-system", "kube-node-lease", "berth-system", "calm"] {
        let mut review = gone.clone();
        review["request"]["namespace"] = json!(namespace);
        check(&said(&app, Mode::Enforce, &review).await, &[]);
    }
    let mut review = gone.clone();
    template(&mut review)["metadata"]["annotations"] = json!({"berth.dev/skip": "pin"});
    check(&said(&app, Mode::Enforce, &review).await, &[]);
    // On the workload itself the annotation means nothing, as its Pods do not get it.
    let mut review = gone.clone();
    review["request"]["object"]["metadata"]["annotations"] = json!({"berth.dev/skip": "pin"});
    assert_eq!(said(&app, Mode::Enforce, &review).await.len(), 1);
    let mut review = gone.clone();
    review["request"]["namespace"] = json!("out");
    check(
        &said(&app, Mode::Enforce, &review).await,
        &["berth: web: berth.dev/skip: place may not be skipped in this cluster"],
    );
    // Operators that compare images: by the owner that the Pods will have.
    let containers = json!([{"name": "c", "image": "gone"}]);
    check(&said(&app, Mode::Enforce, &workload("statefulsets", &containers)).await, &[]);
    assert_eq!(app.registry.questions(), 1, "only the one without a skip that counts");
}

#[tokio::test]
async fn an_update_speaks_only_of_new_images() {
    let app = app("");
    let mut review = deployment("gone", "Always");
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = review["request"]["object"].clone();
    review["request"]["object"]["spec"]["replicas"] = json!(3);
    check(&said(&app, Mode::Enforce, &review).await, &[]);
    assert_eq!(app.registry.questions(), 0);
    template(&mut review)["spec"]["containers"][0]["image"] = json!("gone:v2");
    template(&mut review)["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    assert!(said(&app, Mode::Enforce, &review).await[0].contains("no node has gone:v2"));
}

#[tokio::test]
async fn workloads_are_counted_by_themselves() {
    let app = app("pin: {onFailure: deny}");
    app.registry.push("nginx:latest");
    said(&app, Mode::Enforce, &deployment("nginx", "Always")).await;
    said(&app, Mode::Enforce, &deployment("gone", "Always")).await;
    said(&app, Mode::Enforce, &deployment("nowhere:dev", "Never")).await;
    said(&app, Mode::Enforce, &review_of(&pod_of("gone", "Always"))).await;
    let metrics = app.metrics.encode().unwrap();
    for (outcome, count) in [("silent", 1), ("warned", 2), ("skipped", 1)] {
        let line = format!("berth_workloads_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
    for of_pods in ["berth_reviews_total{", "berth_pins_total{", "berth_mirrors_total{", "berth_placements_total{"] {
        assert!(!metrics.contains(of_pods), "{of_pods} in {metrics}");
    }
    assert!(metrics.contains("berth_review_seconds_count 0\n"), "{metrics}");
}

#[tokio::test]
async fn whatever_comes_is_allowed() {
    let app = app("pin: {onFailure: deny}");
    let pieces = [
        json!(null),
        json!("x"),
        json!([]),
        json!({"spec": 7}),
        json!({"spec": {"template": "x"}}),
        json!({"spec": {"template": {"spec": {"containers": "x"}}}}),
        json!({"spec": {"template": {"spec": {"containers": [{"image": 7}]}}}}),
        json!({"spec": {"jobTemplate": {"spec": {"template": null}}}}),
        json!({"metadata": {"name": 7}}),
        json!({"metadata": {"ownerReferences": [7]}}),
        json!({"metadata": null, "spec": {"template": {"metadata": null, "spec": {"containers": null, "new": [{}]}}}}),
    ];
    for object in pieces {
        for old in [json!(null), object.clone()] {
            let mut review = deployment("nginx", "Always");
            review["request"]["object"] = object.clone();
            review["request"]["operation"] = json!(if old.is_null() { "CREATE" } else { "UPDATE" });
            review["request"]["oldObject"] = old;
            let lines = said(&app, Mode::Enforce, &review).await;
            let unreadable = "berth: not a workload that Berth can read, left as it is: ";
            assert!(lines.iter().all(|line| line.starts_with(unreadable)), "{object}: {lines:?}");
        }
    }
    for body in ["", "{", "[]", "{}", r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#] {
        let deadline = Instant::now() + Duration::from_secs(5);
        assert!(app.warn(Mode::Enforce, Caller::Anyone, body.as_bytes(), deadline).await.is_err(), "{body}");
    }
    // Much to say, in few lines; much to look at, in little time.
    let containers: Vec<_> = (0..20_000)
        .map(|number| json!({"name": format!("c{number}"), "image": format!("x-{number}:dev"), "imagePullPolicy": "Never"}))
        .collect();
    let lines = said(&app, Mode::Enforce, &workload("deployments", &json!(containers))).await;
    assert!(lines.len() <= 11, "{lines:?}");
    let containers: Vec<_> = (0..20_000)
        .map(|number| json!({"name": format!("c{number}"), "image": format!("NO/{number}:\u{7}\n")}))
        .collect();
    let lines = said(&app, Mode::Enforce, &workload("deployments", &json!(containers))).await;
    assert!(lines.len() == 6 && lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
}

//! Where a Pod may run, by what its images turn out to be.

use super::*;

#[tokio::test]
async fn never_goes_where_the_image_is() {
    let app = app("");
    let (after, _) = create(&app, &pod_of("petstore:dev", "Never")).await;
    assert_eq!(required(&after), &json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}));
    assert_eq!((image(&after), app.registry.questions()), ("petstore:dev", 0));
}

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

#[tokio::test]
async fn a_changed_policy_is_written_at_admission() {
    let app = app("place: {pullPolicy: IfNotPresent}");
    let (after, _) = create(&app, &pod_of("petstore:dev", "Always")).await;
    assert_eq!(after["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(required(&after)["values"], json!(["a"]));
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

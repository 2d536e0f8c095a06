use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    admission::{App, Caller, Mode},
    config::Config,
    follow::fake::{Reply, Server},
    registry::{Fake, Keychain},
};

/// An API server that gives one pull secret, and a review of a Pod with this spec, of `nginx:latest` besides; what is
/// answered, and what the API server was asked.
async fn review(caller: Caller, spec: Value, reply: Reply, has_image: bool) -> (Value, Vec<String>) {
    let pod = json!({ "metadata": { "name": "web" }, "spec": spec });
    answer("pods", caller, pod, reply, has_image).await
}

async fn answer(resource: &str, caller: Caller, object: Value, reply: Reply, has_image: bool) -> (Value, Vec<String>) {
    let (server, registry) = (Server::new([reply]), Fake::new());
    if has_image {
        registry.push("nginx:latest");
    }
    let app = App {
        config: Arc::new(Config::default()),
        keychain: Keychain::default(),
        pull_secrets: Some(Arc::new(PullSecrets::new(server.client()))),
        registry,
        nodes: None,
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "shop",
            "resource": { "group": if resource == "pods" { "" } else { "apps" }, "version": "v1", "resource": resource },
            "object": object,
        },
    });
    let (body, deadline) = (review.to_string(), Instant::now() + Duration::from_secs(9));
    let answer = match resource {
        "pods" => app.review(Mode::Enforce, caller, body.as_bytes(), deadline).await.unwrap(),
        _ => app.warn(Mode::Enforce, caller, body.as_bytes(), deadline).await.unwrap(),
    };
    (serde_json::from_slice::<Value>(&answer).unwrap()["response"].clone(), server.asked())
}

fn spec(image: &str, secrets: &[&str]) -> Value {
    let secrets: Vec<_> = secrets.iter().map(|name| json!({ "name": name })).collect();
    json!({ "containers": [{ "name": "web", "image": image }], "imagePullSecrets": secrets })
}

fn missing() -> Reply {
    Reply::Json(404, json!({ "kind": "Status", "status": "Failure", "message": "", "reason": "NotFound", "code": 404 }))
}

/// No call to the Kubernetes API during a review, unless a proven caller's Pod names a pull secret and has a question.
#[tokio::test]
async fn the_api_is_asked_for_proven_callers_whose_pods_name_secrets_and_have_a_question() {
    let asked = async |caller, spec| review(caller, spec, missing(), true).await.1;
    let none: [&str; 0] = [];
    assert_eq!(asked(Caller::Anyone, spec("nginx", &["regcred"])).await, none);
    assert_eq!(asked(Caller::Proven, spec("nginx", &[])).await, none);
    assert_eq!(asked(Caller::Proven, spec("nginx:1.27", &["regcred"])).await, none, "nothing to ask a registry for");
    let secret = "GET /api/v1/namespaces/shop/secrets/regcred";
    assert_eq!(asked(Caller::Proven, spec("nginx", &["regcred"])).await, [secret]);
}

#[tokio::test]
async fn a_missing_secret_is_told_where_an_image_was_not_found() {
    let answer = async |has_image| review(Caller::Proven, spec("nginx", &["regcred"]), missing(), has_image).await.0;
    let found = answer(true).await;
    assert!(found["patch"].is_string() && found.get("warnings").is_none(), "{found}");
    let not_found = answer(false).await;
    assert!(not_found["warnings"].to_string().contains("pull secret regcred does not exist in shop"), "{not_found}");
}

/// The pull secrets of the `ServiceAccount` are written into Pods, not into templates: what is not found without them
/// may be found with them.
#[tokio::test]
async fn a_workload_is_told_what_was_not_used() {
    let said = async |secrets: &[&str], caller, has_image| {
        let object =
            json!({ "metadata": { "name": "web" }, "spec": { "template": { "spec": spec("nginx", secrets) } } });
        let (response, asked) = answer("deployments", caller, object, missing(), has_image).await;
        (response["warnings"].to_string(), asked)
    };
    let (warnings, asked) = said(&[], Caller::Proven, false).await;
    assert!(warnings.contains("not pinned") && warnings.contains(UNKNOWN) && asked.is_empty(), "{warnings}");
    let (warnings, asked) = said(&["regcred"], Caller::Proven, false).await;
    assert!(warnings.contains("pull secret regcred") && !warnings.contains(UNKNOWN), "{warnings}");
    assert_eq!(asked, ["GET /api/v1/namespaces/shop/secrets/regcred"]);
    assert!(!said(&[], Caller::Anyone, false).await.0.contains(UNKNOWN), "nobody's secrets are used for strangers");
    assert_eq!(said(&[], Caller::Proven, true).await.0, "null");
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_does_not_cost_the_pin() {
    let begun = tokio::time::Instant::now();
    let (answer, asked) = review(Caller::Proven, spec("nginx", &["regcred"]), Reply::Silence, true).await;
    assert!(answer["patch"].is_string() && asked.len() == 1, "{answer}");
    assert!(begun.elapsed() <= Duration::from_millis(1010), "{:?}", begun.elapsed());
}

#[track_caller]
fn check(pod: &str, want: &[&str]) {
    let pod: Pod<'_> = serde_json::from_str(pod).unwrap();
    let names = named(&pod);
    assert_eq!(different(&names), want);
}

#[test]
fn the_names_are_the_pods_own_in_its_order() {
    check(r#"{"spec": {}}"#, &[]);
    check(r#"{"spec": {"imagePullSecrets": null}}"#, &[]);
    check(
        r#"{"spec": {"imagePullSecrets": [{"name": "b"}, {"name": "a"}, {"name": "b"}, {}, {"name": ""}]}}"#,
        &["b", "a"],
    );
    check(r#"{"spec": {"imagePullSecrets": [{"name": "caf\u00e9"}]}}"#, &["café"]);
    check(r#"{"spec": {"imagePullSecrets": {"name": "a"}}}"#, &[]);
    check(r#"{"spec": {"imagePullSecrets": [{"name": 7}]}}"#, &[]);
}

#[test]
fn a_forged_crowd_of_names_costs_by_its_size() {
    let crowd: Vec<_> = (0..200_000).map(|number| Cow::Owned(format!("secret-{number}"))).collect();
    assert_eq!(different(&crowd).len(), MOST_COMPARED);
}

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::{
    admission::{App, Caller, Mode},
    config::{self, Config, CredentialSource, Credentials},
    follow::fake::{Reply, Server},
    image::Digest,
    registry::{self, Fake, Keychain, Question, Resolve},
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
    let app = app(Config::default(), &server, registry);
    (ask(&app, resource, caller, &object).await, server.asked())
}

fn app<R>(config: Config, server: &Server, registry: R) -> App<R> {
    App {
        config: Arc::new(config),
        keychain: Keychain::default(),
        pull_secrets: Some(Arc::new(PullSecrets::new(server.client()))),
        registry,
        nodes: None,
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    }
}

/// The answer to a review of this object.
async fn ask<R: Resolve>(app: &App<R>, resource: &str, caller: Caller, object: &Value) -> Value {
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
    serde_json::from_slice::<Value>(&answer).unwrap()["response"].clone()
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

/// Has every image, for whom it knows.
struct Private;

impl Resolve for Private {
    async fn resolve(&self, question: &Question<'_>, _: Instant) -> Result<Digest, registry::Error> {
        let (host, image) = (question.image.host().to_owned(), question.image.to_string());
        let known = question.key().contains(' ');
        if known || host != "harbor.local" {
            return Ok(Digest::of(b"content"));
        }
        Err(registry::Error::Unauthorized { host, image, anonymous: true })
    }
}

/// Nodes would ask without the Secret that is not there, whatever Berth knows besides.
#[tokio::test]
async fn a_mirror_is_asked_as_its_nodes_would_ask() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let login = json!({ "username": "user", "password": "hunter2" });
    std::fs::write(&file, json!({ "auths": { "harbor.local": login } }).to_string()).unwrap();
    let secret = json!({
        "metadata": { "name": "harbor" }, "type": "kubernetes.io/dockerconfigjson",
        "data": { ".dockerconfigjson": STANDARD.encode(json!({ "auths": { "harbor.local": login } }).to_string()) },
    });
    for (reply, want) in [(missing(), "\"nginx@"), (Reply::Json(200, secret), "\"harbor.local/hub/library/nginx@")] {
        let text = "mirror: {rules: [{source: docker.io, mirror: harbor.local/hub, pullSecret: harbor}]}";
        let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{text}");
        let source = CredentialSource::DockerConfig(file.clone());
        let credentials = vec![Credentials { namespaces: Vec::new(), source }];
        let config = Config { credentials, ..config::parse(&text, "test").unwrap().0 };
        let (server, keychain) = (Server::new([reply]), Keychain::read(&config).unwrap());
        let app = App { keychain, ..app(config, &server, Private) };
        let pod = json!({ "metadata": { "name": "web" }, "spec": spec("nginx", &[]) });
        let answer = ask(&app, "pods", Caller::Proven, &pod).await;
        let patch = STANDARD.decode(answer["patch"].as_str().unwrap()).unwrap();
        let patch = String::from_utf8(patch).unwrap();
        assert!(patch.contains(want), "{patch}");
        assert_eq!(server.asked(), ["GET /api/v1/namespaces/shop/secrets/harbor"]);
    }
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

use serde_json::{Value, json};

use super::*;
use crate::follow::fake::{Reply, Server};

const JSON: &str = "kubernetes.io/dockerconfigjson";
const PASSWORD: &str = "hunter2";

/// A Secret of this type, whose content is for `reg.example`, `user` and [`PASSWORD`].
fn secret(kind: &str, user: &str) -> Value {
    let auths = json!({ "reg.example": { "username": user, "password": PASSWORD } });
    match kind {
        JSON => stored(kind, ".dockerconfigjson", &json!({ "auths": auths }).to_string()),
        _ => stored(kind, ".dockercfg", &auths.to_string()),
    }
}

fn stored(kind: &str, key: &str, content: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "type": kind, "data": { key: STANDARD.encode(content) } })
}

fn found(user: &str) -> Reply {
    Reply::Json(200, secret(JSON, user))
}

fn refused(code: u16) -> Reply {
    let status = json!({
        "kind": "Status", "status": "Failure", "message": "no", "reason": "No", "code": code,
    });
    Reply::Json(code, status)
}

async fn read(secrets: &PullSecrets, names: &[&str]) -> Given {
    secrets.read("shop", names, now() + Duration::from_secs(1)).await
}

/// The users whose credentials there are, in the order in which they are tried.
fn users(given: &Given) -> Vec<String> {
    let shown = format!("{:?}", given.keyring);
    assert!(!shown.contains(PASSWORD), "{shown}");
    shown.split("username: \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn told(given: &Given) -> Vec<String> {
    given.problems.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn secrets_are_read_by_name_and_their_credentials_tried_in_the_pods_order() {
    let server = Server::new([found("b"), Reply::Json(200, secret("kubernetes.io/dockercfg", "a"))]);
    let given = read(&PullSecrets::new(server.client()), &["second", "first"]).await;
    assert_eq!((users(&given), told(&given)), (vec!["b".to_owned(), "a".to_owned()], Vec::new()));
    let path = "GET /api/v1/namespaces/shop/secrets";
    assert_eq!(server.asked(), [format!("{path}/second"), format!("{path}/first")]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_are_one_request_and_a_rotated_secret_is_in_force_soon() {
    let server = Server::new([found("old"), found("new")]);
    let secrets = PullSecrets::new(server.client());
    let all = join_all((0..1000).map(|_| read(&secrets, &["regcred"]))).await;
    assert!(all.iter().all(|given| users(given) == ["old"]));
    time::advance(FOUND_FOR.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(users(&read(&secrets, &["regcred"]).await), ["old"]);
    assert_eq!(server.asked().len(), 1);
    time::advance(Duration::from_millis(1)).await;
    assert_eq!(users(&read(&secrets, &["regcred"]).await), ["new"]);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_another_namespace_is_another_secret() {
    let server = Server::new([found("shop"), refused(403)]);
    let secrets = PullSecrets::new(server.client());
    assert_eq!(users(&read(&secrets, &["regcred"]).await), ["shop"]);
    let other = secrets.read("victim", &["regcred"], now() + Duration::from_secs(1)).await;
    assert!(other.keyring.is_none() && server.asked()[1].ends_with("/namespaces/victim/secrets/regcred"));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_told_with_the_remedy_and_soon_tried_again() {
    let server = Server::default();
    let secrets = PullSecrets::new(server.client());
    for (reply, want) in [
        (refused(403), "bind the ClusterRole berth-pull-secrets in shop: Berth may not read pull secret regcred"),
        (refused(404), "pull secret regcred does not exist in shop"),
        (refused(401), "pull secret regcred was not read: the API server answers 401"),
        (Reply::Refused, "pull secret regcred was not read: the API server cannot be reached"),
    ] {
        server.reply(reply);
        let asked = server.asked().len();
        for _ in 0..2 {
            let given = read(&secrets, &["regcred"]).await;
            assert_eq!((told(&given), given.keyring.is_none()), (vec![want.to_owned()], true));
        }
        assert_eq!(server.asked().len(), asked + 1);
        time::advance(FAILED_FOR).await;
    }
    server.reply(found("late"));
    assert_eq!(users(&read(&secrets, &["regcred"]).await), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_pull_secret_is_told_without_any_of_it() {
    for (object, want) in [
        (stored("Opaque", ".dockerconfigjson", PASSWORD), "type Opaque, not kubernetes.io/dockerconfigjson"),
        (stored(JSON, ".dockercfg", PASSWORD), "it has no .dockerconfigjson"),
        (json!({ "type": JSON, "data": null }), "it has no .dockerconfigjson"),
        (json!({ "type": JSON, "data": { ".dockerconfigjson": "hunter2!" } }), "it is not in base64"),
        (stored(JSON, ".dockerconfigjson", PASSWORD), ".dockerconfigjson: broken JSON at line 1 column 1"),
        (
            stored(JSON, ".dockerconfigjson", r#"{"auths": {"reg.example": "hunter2"}}"#),
            ".dockerconfigjson: a value of the wrong type at line 1 column 35",
        ),
        (json!({ "type": JSON, "data": { ".dockerconfigjson": [PASSWORD] } }), "it cannot be read as a Secret"),
        (json!(PASSWORD), "it cannot be read as a Secret"),
        (stored(JSON, ".dockerconfigjson", &PASSWORD.repeat(10_000)), ".dockerconfigjson is larger than 64 KiB"),
    ] {
        let server = Server::new([Reply::Json(200, object)]);
        let given = read(&PullSecrets::new(server.client()), &["regcred"]).await;
        assert_eq!(told(&given), [format!("pull secret regcred is not used: {want}")]);
        assert!(!format!("{given:?}").contains(PASSWORD));
    }
}

#[tokio::test(start_paused = true)]
async fn programs_that_a_secret_names_are_not_credentials() {
    let content = json!({ "credsStore": "evil", "credHelpers": { "reg.example": "/bin/sh" }, "auths": {} }).to_string();
    let server = Server::new([Reply::Json(200, stored(JSON, ".dockerconfigjson", &content))]);
    let given = read(&PullSecrets::new(server.client()), &["regcred"]).await;
    let shown = format!("{given:?}");
    assert!(!shown.contains("evil") && !shown.contains("/bin/sh"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_costs_no_more_than_its_share_and_the_next_pod_tries_again() {
    let server = Server::new([found("a"), Reply::Silence, found("b")]);
    let secrets = PullSecrets::new(server.client());
    let begun = time::Instant::now();
    let given = read(&secrets, &["quick", "slow"]).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(
        (users(&given), told(&given)),
        (vec!["a".to_owned()], vec!["pull secret slow was not read in time".to_owned()])
    );
    assert_eq!(users(&read(&secrets, &["slow"]).await), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_never_another_path() {
    let server = Server::default();
    let secrets = PullSecrets::new(server.client());
    let hostile =
        ["../../../../nodes/a", "a/../b", "a?watch=1", "a%2fb", ".", "..", "", "A", "a b", "a#", "-a", "a.-b"];
    let given = read(&secrets, &hostile).await;
    assert_eq!((given.problems.len(), given.keyring.is_none()), (hostile.len(), true));
    let until = now() + Duration::from_secs(1);
    assert!(secrets.read("kube-system/secrets/x?", &["a"], until).await.keyring.is_none());
    assert!(secrets.read("", &["a"], until).await.keyring.is_none(), "a manifest may name no namespace");
    assert_eq!(server.asked(), [""; 0]);
    assert!(
        is_object_name("regcred-1.example") && is_object_name(&"a".repeat(253)) && !is_object_name(&"a".repeat(254))
    );
}

#[tokio::test(start_paused = true)]
async fn of_many_secrets_the_first_are_read() {
    let server = Server::new((0..MOST).map(|_| found("a")));
    let names: Vec<_> = (0..100).map(|number| format!("s{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let given = read(&PullSecrets::new(server.client()), &names).await;
    assert_eq!((users(&given).len(), server.asked().len()), (MOST, MOST));
    assert_eq!(told(&given), ["only 16 pull secrets are read: s16 and later are not"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let large = |_| {
        let auths = json!({ "reg.example": { "username": "u", "password": "x".repeat(60_000) } });
        Reply::Json(200, stored(JSON, ".dockerconfigjson", &json!({ "auths": auths }).to_string()))
    };
    let secrets = PullSecrets::new(Server::new((0..200).map(large)).client());
    for number in 0..200 {
        assert!(read(&secrets, &[&format!("s{number}")]).await.keyring.is_some());
    }
    secrets.remembered.run_pending_tasks();
    let kept = secrets.remembered.entry_count();
    assert!(kept > 1 && kept * 60_000 < REMEMBERED_BYTES, "{kept} of 200");
}

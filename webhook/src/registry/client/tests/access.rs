//! Who sees credentials, and what tokens are good for.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    http::{Response, request::Parts},
};

use super::{
    ask, client,
    stranger::{Stranger, challenge, manifest, status},
};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const IMAGE: &str = "reg.example/app:v1";
const USER: &str = "Basic dXNlcjpodW50ZXIy";

pub(super) fn authorization(request: &Parts) -> Option<String> {
    request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned())
}

/// A registry that wants a token, and its token service at the same address: each token is a new one.
///
/// It takes the tokens for which `takes` says so, and gives them to whom `gives` says so.
async fn with_tokens(
    takes: impl Fn(&str) -> bool + Clone + Send + Sync + 'static,
    gives: impl Fn(Option<String>) -> bool + Clone + Send + Sync + 'static,
) -> Stranger {
    let issued = Arc::new(AtomicUsize::new(0));
    Stranger::answering(move |request| {
        if request.uri.path() == "/token" {
            if !gives(authorization(request)) {
                return status(401);
            }
            let number = issued.fetch_add(1, Ordering::Relaxed);
            return json(&format!(r#"{{"token":"t{number}","expires_in":3600}}"#));
        }
        match authorization(request).as_deref().and_then(|header| header.strip_prefix("Bearer ")) {
            Some(token) if takes(token) => manifest(Some(DIGEST)),
            _ => challenge(&format!(
                "Bearer realm=\"http://{}/token\",service=\"reg\"",
                request.headers["host"].to_str().unwrap()
            )),
        }
    })
    .await
}

pub(super) fn json(text: &str) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(Body::from(text.to_owned())).unwrap()
}

#[tokio::test]
async fn a_token_is_asked_for_once_per_repository() {
    let stranger = with_tokens(|_| true, |_| true).await;
    let client = client(&[("reg.example", &stranger.url())], &[]);
    for image in [IMAGE, IMAGE, "reg.example/app:v2", "reg.example/other:v1"] {
        assert_eq!(ask(&client, image).await, Ok(DIGEST.to_owned()), "{image}");
    }
    let head = |path: &str, authorization: Option<&str>| (format!("HEAD /v2/{path}"), authorization.map(str::to_owned));
    let token = |repository: &str| (format!("GET /token?service=reg&scope=repository%3A{repository}%3Apull"), None);
    let want = [
        head("app/manifests/v1", None),
        token("app"),
        head("app/manifests/v1", Some("Bearer t0")),
        head("app/manifests/v1", Some("Bearer t0")),
        head("app/manifests/v2", Some("Bearer t0")),
        head("other/manifests/v1", None),
        token("other"),
        head("other/manifests/v1", Some("Bearer t1")),
    ];
    let seen: Vec<_> = stranger.seen().into_iter().map(|seen| (seen.line, seen.authorization)).collect();
    assert_eq!(seen, want);
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced() {
    let good = Arc::new(Mutex::new("t0"));
    let taken = Arc::clone(&good);
    let stranger = with_tokens(move |token| token == *taken.lock().unwrap(), |_| true).await;
    let client = client(&[("reg.example", &stranger.url())], &[]);
    assert!(ask(&client, IMAGE).await.is_ok());
    *good.lock().unwrap() = "t1";
    assert!(ask(&client, IMAGE).await.is_ok());
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    assert_eq!(stranger.authorizations(), [None, None, bearer("t0"), bearer("t0"), None, bearer("t1")]);
}

#[tokio::test]
async fn a_registry_that_takes_no_token_is_asked_twice_and_no_more() {
    let stranger = with_tokens(|_| false, |_| true).await;
    let client = client(&[("reg.example", &stranger.url())], &[]);
    for _ in 0..2 {
        let before = stranger.lines().len();
        let told = ask(&client, IMAGE).await.unwrap_err();
        assert_eq!(told, format!("reg.example wants credentials: add them to `credentials`: {IMAGE}"));
        assert_eq!(stranger.lines().len() - before, 3);
    }
}

#[tokio::test]
async fn a_registry_that_does_not_know_its_token_service_is_not_the_accounts_fault() {
    let check = async |error: &'static str, want: &str| {
        let stranger = Stranger::answering(move |request| {
            let realm = format!("http://{}/token", request.headers["host"].to_str().unwrap());
            match (request.uri.path(), authorization(request)) {
                ("/token", _) => json(r#"{"token":"good"}"#),
                (_, None) => challenge(&format!("Bearer realm=\"{realm}\"")),
                (_, Some(_)) => challenge(&format!("Bearer realm=\"{realm}\",error=\"{error}\"")),
            }
        })
        .await;
        let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "user:hunter2")]);
        assert_eq!(ask(&client, IMAGE).await.unwrap_err(), want, "{error}");
    };
    let bad = "reg.example refuses its own token service's tokens: check keys and clocks of both";
    check("invalid_token", bad).await;
    let right = format!("reg.example forbids it: let the account pull this image: {IMAGE}");
    check("insufficient_scope", &right).await;
}

#[tokio::test]
async fn the_token_service_of_the_registry_sees_the_credentials() {
    let stranger = with_tokens(|_| true, |credentials| credentials.as_deref() == Some(USER)).await;
    let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "user:hunter2")]);
    assert_eq!(ask(&client, IMAGE).await, Ok(DIGEST.to_owned()));
    assert_eq!(stranger.authorizations(), [None, Some(USER.to_owned()), Some("Bearer t0".to_owned())]);
}

/// S9.
#[tokio::test]
async fn another_token_service_sees_none() {
    let other = with_tokens(|_| true, |_| true).await;
    let realm = format!("Bearer realm=\"{}/token\"", other.url());
    let stranger = Stranger::answering(move |request| match authorization(request) {
        None => challenge(&realm),
        Some(_) => manifest(Some(DIGEST)),
    })
    .await;
    let hosts = [("reg.example", &*stranger.url()), ("other.example", &other.url())];
    let told = ask(&client(&hosts, &[("reg.example", "user:hunter2")]), IMAGE).await;
    assert_eq!(told, Ok(DIGEST.to_owned()));
    assert_eq!(other.authorizations(), [None]);
    assert_eq!(stranger.authorizations(), [None, Some("Bearer t0".to_owned())]);
}

/// S9.
#[tokio::test]
async fn a_token_service_without_tls_or_inside_is_not_asked() {
    let other = with_tokens(|_| true, |_| true).await;
    let port = other.address.port();
    let listed = "add its token service to `tokenHosts` if you trust it: ";
    for (realm, words) in [
        (format!("http://localhost:{port}/token"), &*format!("{listed}localhost:{port}")),
        (format!("http://127.0.0.1:{port}/token"), &format!("{listed}127.0.0.1:{port}")),
        ("https://169.254.169.254/t".to_owned(), "if you mean it: 169.254.169.254 is a metadata address"),
        ("https://a:b@example.com/t".to_owned(), "has a user in it"),
        ("/token".to_owned(), "its token service `/token` is no URL"),
    ] {
        let realm = format!("Bearer realm=\"{realm}\"");
        let stranger = Stranger::answering(move |_| challenge(&realm)).await;
        let told = ask(&client(&[("reg.example", &stranger.url())], &[("reg.example", "user:hunter2")]), IMAGE).await;
        let told = told.unwrap_err();
        assert!(told.contains("reg.example") && told.contains(words), "{told}");
    }
    assert!(other.seen().is_empty());
}

/// What is said when the token service answers like this.
async fn with_token_answer(answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> String {
    let stranger = Stranger::answering(move |request| match request.uri.path() {
        "/token" => answer(),
        _ => challenge(&format!("Bearer realm=\"http://{}/token\"", request.headers["host"].to_str().unwrap())),
    })
    .await;
    ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await.unwrap_err()
}

#[tokio::test]
async fn a_token_service_may_fail_in_many_ways() {
    let untrusted = "reg.example gave a bad answer (check it, and proxies): its token service";
    let large = || json(&format!(r#"{{"token":"{}"}}"#, "a".repeat(1_000_000)));
    assert_eq!(with_token_answer(large).await, format!("{untrusted} is larger than 128 KiB"));
    let redirect = || super::stranger::redirect("/other");
    assert_eq!(with_token_answer(redirect).await, format!("{untrusted} answered 307 Temporary Redirect"));
    assert_eq!(with_token_answer(|| json("{}")).await, format!("{untrusted} gave an empty token"));
    let down = "reg.example: its token service answered 502: look into its log";
    assert_eq!(with_token_answer(|| status(502)).await, down);
    assert!(with_token_answer(|| status(429)).await.starts_with("reg.example limits requests"));
    assert!(with_token_answer(|| status(403)).await.starts_with("reg.example wants credentials"));
}

#[tokio::test]
async fn basic_is_sent_only_to_who_asks_for_it() {
    let stranger = Stranger::answering(|request| match authorization(request).as_deref() {
        Some(USER) => manifest(Some(DIGEST)),
        _ => challenge("Basic realm=\"Registry Realm\""),
    })
    .await;
    let url = stranger.url();
    let right = client(&[("reg.example", &url)], &[("reg.example", "user:hunter2")]);
    assert!(ask(&right, IMAGE).await.is_ok());
    assert!(ask(&right, IMAGE).await.is_ok());
    assert_eq!(stranger.authorizations(), [None, Some(USER.to_owned()), Some(USER.to_owned())]);
    let wrong = client(&[("reg.example", &url)], &[("reg.example", "user:aHVudGVyMg")]);
    assert!(ask(&wrong, IMAGE).await.unwrap_err().contains("takes none of the credentials"));
    let none = client(&[("reg.example", &url)], &[]);
    assert!(ask(&none, IMAGE).await.unwrap_err().contains("wants credentials"));
}

#[tokio::test]
async fn every_credential_that_matches_is_tried_and_then_none() {
    let public = Arc::new(Mutex::new(false));
    let open = Arc::clone(&public);
    let stranger = with_tokens(
        |_| true,
        move |credentials| match credentials.as_deref() {
            Some(USER) => true,
            Some(_) => false,
            None => *open.lock().unwrap(),
        },
    )
    .await;
    let both = [("reg.example/team", "old:hunter2"), ("reg.example", "user:hunter2")];
    let both = client(&[("reg.example", &stranger.url())], &both);
    assert!(ask(&both, "reg.example/team/app:v1").await.is_ok());
    let old = client(&[("reg.example", &stranger.url())], &[("reg.example", "old:hunter2")]);
    assert!(ask(&old, IMAGE).await.unwrap_err().contains("takes none of the credentials"));
    *public.lock().unwrap() = true;
    assert!(ask(&old, IMAGE).await.is_ok());
}

/// Some registries say "not found" of what one may not see: so it is their last word only where nobody was refused.
#[tokio::test]
async fn what_one_may_not_see_another_may() {
    let stranger = Stranger::answering(|request| {
        if request.uri.path() == "/token" {
            return match authorization(request).as_deref() {
                Some(USER) => json(r#"{"token":"sees"}"#),
                Some("Basic b3RoZXI6aHVudGVyMg==") | None => json(r#"{"token":"sees-nothing"}"#),
                Some(_) => status(401),
            };
        }
        match authorization(request).as_deref() {
            Some("Bearer sees") => manifest(Some(DIGEST)),
            Some(_) => status(404),
            None => challenge(&format!("Bearer realm=\"http://{}/token\"", request.headers["host"].to_str().unwrap())),
        }
    })
    .await;
    let said = async |logins: &[(&str, &str)]| {
        ask(&client(&[("reg.example", &stranger.url())], logins), "reg.example/team/app:v1").await
    };
    let (other, old) = (("reg.example/team", "other:hunter2"), ("reg.example", "old:hunter2"));
    assert!(said(&[other, ("reg.example", "user:hunter2")]).await.is_ok());
    assert!(said(&[other]).await.unwrap_err().contains("no such image"));
    assert!(said(&[]).await.unwrap_err().contains("no such image"));
    assert!(said(&[old]).await.unwrap_err().contains("takes none of the credentials"));
    assert!(said(&[other, old]).await.unwrap_err().contains("no such image"), "the best match says most");
}

/// S12.
#[tokio::test]
async fn a_token_serves_one_repository_and_one_credential() {
    let owners = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&owners);
    let stranger = with_tokens(
        |_| true,
        move |credentials| {
            log.lock().unwrap().push(credentials);
            true
        },
    )
    .await;
    let pairs = [("reg.example/a", "a:hunter2"), ("reg.example/b", "b:hunter2")];
    let client = client(&[("reg.example", &stranger.url())], &pairs);
    for image in ["reg.example/a/app", "reg.example/b/app", "reg.example/c/app", "reg.example/a/app"] {
        assert!(ask(&client, image).await.is_ok());
    }
    let bearers = stranger.authorizations().into_iter().flatten().filter(|header| header.starts_with("Bearer "));
    assert_eq!(bearers.collect::<Vec<_>>(), ["Bearer t0", "Bearer t1", "Bearer t2", "Bearer t0"]);
    let owners = owners.lock().unwrap();
    assert!(owners[0] != owners[1] && owners[2].is_none(), "{owners:?}");
}

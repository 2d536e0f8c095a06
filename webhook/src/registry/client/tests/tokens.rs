//! What token services are asked and told: `OAuth2`, scopes, and who may see credentials.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    http::{Method, Response, request::Parts},
};

use super::{
    access::{authorization, json},
    ask, client, registry,
    stranger::{Seen, Stranger, challenge, manifest, redirect, status},
    with_credentials,
};
use crate::config;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const IMAGE: &str = "reg.example/app:v1";
const SCOPE: &str = "scope=repository%3Aapp%3Apull";
const TOKEN: &str = r#"{"access_token":"good"}"#;

/// A registry that takes the token `good`, from a token service at the same address that answers like this.
async fn with_service(answer: impl Fn(&Parts) -> Response<Body> + Clone + Send + Sync + 'static) -> Stranger {
    Stranger::answering(move |request| match (request.uri.path(), authorization(request).as_deref()) {
        ("/token", _) => answer(request),
        (_, Some("Bearer good")) => manifest(Some(DIGEST)),
        _ => challenge(&at_own_service(request)),
    })
    .await
}

fn at_own_service(request: &Parts) -> String {
    format!("Bearer realm=\"http://{}/token\",service=\"reg\"", request.headers["host"].to_str().unwrap())
}

/// What the token service was asked.
fn asked(stranger: &Stranger) -> Vec<Seen> {
    stranger.seen().into_iter().filter(|seen| seen.line.contains("/token")).collect()
}

fn form(refresh_token: &str) -> String {
    format!("grant_type=refresh_token&service=reg&client_id=berth&{SCOPE}&refresh_token={refresh_token}")
}

#[tokio::test]
async fn an_identity_token_is_exchanged_for_a_token() {
    let stranger = with_service(|request| match request.method {
        Method::POST => json(TOKEN),
        _ => status(500),
    })
    .await;
    let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "<token>:hunter2")]);
    for _ in 0..2 {
        assert_eq!(ask(&client, IMAGE).await, Ok(DIGEST.to_owned()));
    }
    let asked = asked(&stranger);
    assert_eq!(asked.len(), 1, "the token is remembered: {asked:?}");
    assert_eq!((asked[0].line.as_str(), &asked[0].authorization), ("POST /token", &None));
    assert_eq!(asked[0].body, form("hunter2"));
}

#[tokio::test]
async fn a_token_service_without_oauth2_takes_an_identity_token_as_a_password() {
    for code in [400, 401, 404, 405] {
        let stranger = with_service(move |request| match (&request.method, authorization(request).as_deref()) {
            (&Method::GET, Some("Basic Omh1bnRlcjI=")) => json(TOKEN),
            _ => status(code),
        })
        .await;
        let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "<token>:hunter2")]);
        assert_eq!(ask(&client, IMAGE).await, Ok(DIGEST.to_owned()), "{code}");
        let lines: Vec<_> = asked(&stranger).into_iter().map(|seen| seen.line).collect();
        assert_eq!(lines, ["POST /token".to_owned(), format!("GET /token?service=reg&{SCOPE}")]);
    }
}

#[tokio::test]
async fn an_identity_token_that_nobody_takes_is_told_so() {
    let stranger = with_service(|_| status(401)).await;
    let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "<token>:hunter2")]);
    let told = ask(&client, IMAGE).await;
    assert_eq!(told, Err(format!("reg.example takes none of the credentials: renew them: {IMAGE}")));
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_used_until_it_is_refused() {
    let number = Arc::new(AtomicUsize::new(0));
    let stranger = with_service(move |_| match number.fetch_add(1, Ordering::Relaxed) {
        0 => json(r#"{"access_token":"good","expires_in":0.001,"refresh_token":"hunter2-next"}"#),
        1 => status(400),
        _ => json(r#"{"access_token":"good","expires_in":0.001}"#),
    })
    .await;
    let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "<token>:hunter2")]);
    for _ in 0..3 {
        assert_eq!(ask(&client, IMAGE).await, Ok(DIGEST.to_owned()));
        tokio::time::sleep(std::time::Duration::from_millis(2)).await; // the token ends
    }
    let forms: Vec<_> = asked(&stranger).into_iter().map(|seen| seen.body).collect();
    assert_eq!(forms, [form("hunter2"), form("hunter2-next"), form("hunter2"), form("hunter2")]);
}

/// S12: with the credentials for one repository, a token for another is never asked for.
#[tokio::test]
async fn the_scope_of_a_challenge_is_not_taken() {
    for scope in ["repository:victim/secret:pull", "repository:app:pull,push,delete", "registry:catalog:*", "*"] {
        let stranger = Stranger::answering(move |request| match authorization(request).as_deref() {
            Some("Bearer good") => manifest(Some(DIGEST)),
            _ if request.uri.path() == "/token" => json(TOKEN),
            _ => challenge(&format!("{},scope=\"{scope}\"", at_own_service(request))),
        })
        .await;
        for credential in ["user:hunter2", "<token>:hunter2"] {
            let client = client(&[("reg.example", &stranger.url())], &[("reg.example", credential)]);
            assert_eq!(ask(&client, IMAGE).await, Ok(DIGEST.to_owned()));
        }
        let asked = asked(&stranger);
        assert_eq!(asked[0].line, format!("GET /token?service=reg&{SCOPE}"));
        assert_eq!(asked[1].body, form("hunter2"));
    }
}

/// S12: of two tenants, and of those without credentials, none is served by another's token for the same repository.
#[tokio::test]
async fn a_token_serves_no_other_tenant() {
    let stranger = with_service(|request| match authorization(request).as_deref() {
        Some("Basic b3duZXI6aHVudGVyMg==") => json(TOKEN),
        _ => status(401),
    })
    .await;
    let url = stranger.url();
    let of = |credentials: &[(&str, &str)]| client(&[("reg.example", &url)], credentials).keychain;
    let mut asking = client(&[("reg.example", &url)], &[("reg.example", "owner:hunter2")]);
    assert_eq!(ask(&asking, IMAGE).await, Ok(DIGEST.to_owned()));
    for credentials in [&[("reg.example", "other:hunter2")][..], &[("reg.example", "<token>:hunter2")], &[]] {
        asking.keychain = of(credentials);
        let before = stranger.seen().len();
        assert!(ask(&asking, IMAGE).await.is_err(), "{credentials:?}");
        assert!(!stranger.seen()[before..].iter().any(|seen| seen.authorization.as_deref() == Some("Bearer good")));
    }
    asking.keychain = of(&[("reg.example", "owner:hunter2")]);
    let before = stranger.seen().len();
    assert_eq!(ask(&asking, IMAGE).await, Ok(DIGEST.to_owned()));
    assert_eq!(stranger.seen().len(), before + 1, "the owner's token is still there");
}

#[tokio::test]
async fn any_header_may_have_the_challenge() {
    let stranger = Stranger::answering(|request| {
        if request.uri.path() == "/token" {
            return json(TOKEN);
        }
        if authorization(request).as_deref() == Some("Bearer good") {
            return manifest(Some(DIGEST));
        }
        let own = at_own_service(request);
        let challenges = ["Negotiate", "Bearer realm=\"unterminated", "Basic realm=\"x\"", &own];
        let answer =
            challenges.iter().fold(Response::builder(), |answer, text| answer.header("www-authenticate", *text));
        answer.status(401).body(Body::empty()).unwrap()
    })
    .await;
    let client = client(&[("reg.example", &stranger.url())], &[("reg.example", "user:hunter2")]);
    assert_eq!(ask(&client, IMAGE).await, Ok(DIGEST.to_owned()));
    assert_eq!(asked(&stranger)[0].authorization.as_deref(), Some("Basic dXNlcjpodW50ZXIy"));
}

/// A registry whose token service, `service`, is somewhere else, with these `tokenHosts`; and what its client says.
async fn elsewhere(service: &Stranger, token_hosts: &[String], credential: &str) -> Result<String, String> {
    let realm = format!("Bearer realm=\"{}/token\",service=\"reg\"", service.url());
    let stranger = Stranger::answering(move |request| match authorization(request).as_deref() {
        Some("Bearer good") => manifest(Some(DIGEST)),
        _ => challenge(&realm),
    })
    .await;
    let entry = config::Registry { token_hosts: token_hosts.to_vec(), ..registry("reg.example", &stranger.url()) };
    let entries = vec![entry, registry("service.example", &service.url())];
    ask(&with_credentials(entries, &[("reg.example", credential)]), IMAGE).await
}

/// S9: a realm elsewhere sees no credentials, and what may be done about it is told.
#[tokio::test]
async fn only_a_listed_token_service_sees_credentials() {
    for (credential, proof) in [("user:hunter2", "dXNlcjpodW50ZXIy"), ("<token>:hunter2", "hunter2")] {
        let shows = |seen: &Seen| format!("{seen:?}").contains(proof);
        let service = Stranger::answering(|_| json(TOKEN)).await;
        let other = vec!["127.0.0.1".to_owned(), "auth.example".to_owned(), "127.0.0.1:1".to_owned()];
        assert_eq!(elsewhere(&service, &other, credential).await, Ok(DIGEST.to_owned()), "anonymously");
        assert!(!service.seen().iter().any(shows), "{:?}", service.seen());
        assert_eq!(elsewhere(&service, &[service.address.to_string()], credential).await, Ok(DIGEST.to_owned()));
        assert!(service.seen().last().is_some_and(shows));

        let closed = Stranger::answering(|_| status(401)).await;
        let told = elsewhere(&closed, &[], credential).await;
        let remedy = "add its token service to `tokenHosts` if you trust it";
        assert_eq!(told, Err(format!("reg.example: {remedy}: {}", closed.address)));
        assert!(!closed.seen().iter().any(shows), "{:?}", closed.seen());
    }
}

/// S10: where a token service redirects to is never asked.
#[tokio::test]
async fn a_token_service_does_not_redirect() {
    let other = Stranger::answering(|_| json(TOKEN)).await;
    for credential in ["user:hunter2", "<token>:hunter2"] {
        for code in [301, 302, 303, 307, 308] {
            let location = format!("{}/token", other.url());
            let stranger = with_service(move |_| {
                let mut answer = redirect(&location);
                *answer.status_mut() = code.try_into().unwrap();
                answer
            })
            .await;
            let hosts = [("reg.example", &*stranger.url()), ("other.example", &other.url())];
            let told = ask(&client(&hosts, &[("reg.example", credential)]), IMAGE).await.unwrap_err();
            assert!(told.contains(&format!("its token service answered {code}")), "{told}");
        }
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_token_is_not_unpacked() {
    let packed = || Response::builder().header("content-encoding", "gzip").body(Body::from(TOKEN)).unwrap();
    let stranger = with_service(move |_| packed()).await;
    let told = ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await.unwrap_err();
    assert!(told.ends_with("its token service gave an answer with the encoding `gzip`"), "{told}");
    assert!(stranger.seen().iter().all(|seen| !seen.packs));
}

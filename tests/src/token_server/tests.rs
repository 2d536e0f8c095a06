use std::time::Instant;

use reqwest::Client;

use super::*;

async fn server(authority: Option<&Authority>) -> TokenServer {
    let users = vec![User::new("alice", "wonder", &["team/*"])];
    TokenServer::start(authority, users, vec!["public/*".parse().unwrap()]).await.unwrap()
}

/// The claims of the token in `answer`, under any of its names.
fn claims(answer: &Value) -> Value {
    let token = answer["token"].as_str().or(answer["access_token"].as_str()).unwrap();
    let payload = base64::engine::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        token.split('.').nth(1).unwrap(),
    );
    serde_json::from_slice(&payload.unwrap()).unwrap()
}

async fn form(server: &TokenServer, fields: &[(&str, &str)]) -> (u16, Value) {
    let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let post = Client::new().post(server.realm()).header("content-type", "application/x-www-form-urlencoded");
    let answer = post.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn a_token_grants_what_is_asked_and_allowed_and_no_more() {
    let server = server(None).await;
    let scopes = ["repository:team/a:pull,push", "repository:secret:pull", "repository:team/b:push"];
    let query: Vec<_> = scopes.iter().map(|scope| ("scope", *scope)).chain([("service", SERVICE)]).collect();
    let ask = Client::new().get(server.realm()).query(&query);
    let answer: Value = ask.basic_auth("alice", Some("wonder")).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["expires_in"], 300);
    let claims = claims(&answer);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["access"], json!([{ "type": "repository", "name": "team/a", "actions": ["pull"] }]));

    let [request] = server.requests().try_into().unwrap();
    assert_eq!((request.user.as_deref(), request.status), (Some("alice"), 200));
    assert_eq!(
        (request.service.as_deref(), request.scopes.as_slice()),
        (Some(SERVICE), &scopes.map(str::to_owned)[..])
    );
    assert_eq!(request.authorization.as_deref(), Some("Basic YWxpY2U6d29uZGVy"));
}

#[tokio::test]
async fn nobody_gets_what_is_public_and_an_impostor_nothing() {
    let authority = Authority::new().unwrap();
    let server = server(Some(&authority)).await;
    assert!(server.realm().starts_with("https://"));
    let root = reqwest::Certificate::from_pem(authority.certificate().as_bytes()).unwrap();
    let http = Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let url = format!("{}?scope=repository:public/a:pull&scope=repository:team/a:pull", server.realm());
    let answer: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(claims(&answer)["access"], json!([{ "type": "repository", "name": "public/a", "actions": ["pull"] }]));
    for header in ["Basic YWxpY2U6Z3Vlc3M=", "Basic !", "Bearer abc"] {
        assert_eq!(http.get(&url).header("authorization", header).send().await.unwrap().status(), 401, "{header}");
    }
    assert_eq!(server.requests().iter().map(|request| request.status).collect::<Vec<_>>(), [200, 401, 401, 401]);
}

#[tokio::test]
async fn refresh_tokens_and_passwords_are_taken_by_post() {
    let server = server(None).await;
    let always = [("service", SERVICE), ("client_id", "test"), ("scope", "repository:team/a:pull")];
    let ask = async |fields: &[(&str, &str)]| form(&server, &[&always, fields].concat()).await;
    let password =
        [("grant_type", "password"), ("username", "alice"), ("password", "wonder"), ("access_type", "offline")];
    let (status, answer) = ask(&password).await;
    assert_eq!((status, answer["scope"].as_str()), (200, Some("repository:team/a:pull")));
    assert_eq!(answer["token"], Value::Null);
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(refresh, server.identity_token("alice"));

    let (status, answer) = ask(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
    assert_eq!((status, claims(&answer)["sub"].as_str()), (200, Some("alice")));
    assert_eq!(claims(&answer)["access"][0]["name"], "team/a");
    for wrong in [
        [("grant_type", "refresh_token"), ("refresh_token", "stolen")],
        [("grant_type", "password"), ("username", "alice")],
        [("grant_type", "authorization_code"), ("refresh_token", refresh)],
    ] {
        assert_eq!(ask(&wrong).await.0, 401, "{wrong:?}");
    }
    let (status, _) = form(&server, &[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
    assert_eq!(status, 401, "service and client_id are required");
    assert_eq!(server.requests()[1].grant_type.as_deref(), Some("refresh_token"));
}

#[tokio::test]
async fn it_answers_in_the_manner_it_is_told() {
    let server = server(None).await;
    let url = format!("{}?scope=repository:public/a:pull", server.realm());
    server.behave(Manner { names: &["token", "access_token"], expires_in: None, ..Manner::default() });
    let answer: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], Value::Null);
    server.behave(Manner { names: &["access_token"], ..Manner::default() });
    let answer: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    assert_eq!(answer["token"], Value::Null);

    let delay = Duration::from_millis(100);
    server.behave(Manner { status: Some(StatusCode::TOO_MANY_REQUESTS), delay, ..Manner::default() });
    let start = Instant::now();
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    assert!(start.elapsed() >= delay);
}

//! What a token service sees of Berth, and what Berth makes of its answers.

use berth::registry::Error;
use berth_tests::{
    pki::Authority,
    registry::{Options, Registry},
    token_server::{Manner, SERVICE, TokenServer, User},
};
use serde_json::{Value, json};

use super::{Berth, Told, password};

/// A registry whose users are `alice`, for `team/…`, and `bob`, for `other/…`; `public/…` is everybody's.
struct Scene {
    authority: Authority,
    tokens: TokenServer,
    registry: Registry,
}

impl Scene {
    async fn set() -> Self {
        let authority = Authority::new().unwrap();
        let users = vec![User::new("alice", "wonder", &["team/*"]), User::new("bob", "builder", &["other/*"])];
        let public = vec!["public/*".parse().unwrap()];
        let tokens = TokenServer::start(Some(&authority), users, public).await.unwrap();
        let options = Options { authority: Some(&authority), tokens: Some(&tokens), ..Options::default() };
        let registry = Registry::start_with(&options).await.unwrap();
        for repository in ["team/app", "team/tool", "other/app", "public/app"] {
            registry.push(repository, "v1", repository).await.unwrap();
        }
        Self { authority, tokens, registry }
    }

    fn berth(&self, credential: Option<&Value>) -> Berth {
        let told = Told { authority: Some(&self.authority), tokens: Some(&self.tokens), credential, ..Told::default() };
        Berth::told(&self.registry, &told)
    }

    /// Who has asked for what, and whether by a header `Authorization`.
    fn asked(&self) -> Vec<(Option<String>, String, bool)> {
        let requests = self.tokens.requests().into_iter();
        requests.map(|request| (request.user, request.scopes.join(" "), request.authorization.is_some())).collect()
    }
}

fn asked(user: Option<&str>, repository: &str) -> (Option<String>, String, bool) {
    (user.map(str::to_owned), format!("repository:{repository}:pull"), user.is_some())
}

#[tokio::test]
async fn a_token_serves_one_repository_until_it_expires() {
    let scene = Scene::set().await;
    let berth = scene.berth(Some(&password("alice", "wonder")));
    for _ in 0..3 {
        berth.ask("team/app:v1").await.unwrap();
    }
    assert_eq!(scene.asked(), [asked(Some("alice"), "team/app")], "one token for three questions");
    berth.ask("team/tool:v1").await.unwrap();
    assert_eq!(scene.asked()[1..], [asked(Some("alice"), "team/tool")]);
    assert!(scene.tokens.requests().iter().all(|request| request.service.as_deref() == Some(SERVICE)));
}

#[tokio::test]
async fn nobody_is_asked_as_somebody_else() {
    let scene = Scene::set().await;
    let bob = scene.berth(Some(&password("bob", "builder")));
    bob.ask("other/app:v1").await.unwrap();
    let answer = bob.ask("team/app:v1").await;
    assert!(matches!(answer, Err(Error::Forbidden { anonymous: false, .. })), "{answer:?}");
    let nobody = scene.berth(None);
    nobody.ask("public/app:v1").await.unwrap();
    let answer = nobody.ask("team/app:v1").await;
    assert!(matches!(answer, Err(Error::Unauthorized { anonymous: true, .. })), "{answer:?}");
    let (bob, nobody) = (Some("bob"), None);
    let want =
        [(bob, "other/app"), (bob, "team/app"), (nobody, "team/app"), (nobody, "public/app"), (nobody, "team/app")];
    assert_eq!(scene.asked(), want.map(|(user, repository)| asked(user, repository)));
}

#[tokio::test]
async fn both_names_of_a_token_are_understood() {
    let scene = Scene::set().await;
    for names in [&["token"][..], &["access_token"], &["token", "access_token"]] {
        for expires_in in [None, Some(300)] {
            scene.tokens.behave(Manner { names, expires_in, ..Manner::default() });
            scene.berth(None).ask("public/app:v1").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_token_that_the_registry_does_not_take_any_more_is_replaced() {
    let mut scene = Scene::set().await;
    let berth = scene.berth(Some(&password("alice", "wonder")));
    berth.ask("team/app:v1").await.unwrap();
    scene.tokens.change_key().unwrap();
    scene.registry.trust(&scene.tokens).await.unwrap();
    berth.ask("team/app:v1").await.unwrap();
    assert_eq!(scene.asked(), [asked(Some("alice"), "team/app"), asked(Some("alice"), "team/app")]);
}

#[tokio::test]
async fn a_registry_that_takes_no_token_is_not_tried_for_ever() {
    let scene = Scene::set().await;
    let berth = scene.berth(Some(&password("alice", "wonder")));
    scene.tokens.behave(Manner { expired: true, ..Manner::default() });
    let answer = berth.ask("team/app:v1").await;
    assert!(matches!(answer, Err(Error::TokenRefused { .. })), "{answer:?}");
    let once = [asked(Some("alice"), "team/app"), asked(None, "team/app")];
    assert_eq!(scene.asked(), once, "as alice and as nobody, and no more often");
    scene.tokens.behave(Manner::default());
    berth.ask("team/app:v1").await.unwrap();
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post_and_never_shown_to_the_registry() {
    let scene = Scene::set().await;
    let identity = scene.tokens.identity_token("alice");
    scene.berth(Some(&json!({ "identitytoken": identity }))).ask("team/app:v1").await.unwrap();
    let [request] = scene.tokens.requests().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.grant_type.as_deref()), ("POST", Some("refresh_token")));
    assert_eq!((request.user.as_deref(), request.authorization), (Some("alice"), None));
}

#[tokio::test]
async fn a_token_service_that_is_not_named_sees_no_password() {
    let scene = Scene::set().await;
    let elsewhere = TokenServer::start(Some(&scene.authority), Vec::new(), Vec::new()).await.unwrap();
    let alice = password("alice", "wonder");
    // The other one is known, so that it can be asked at all; but it is not this registry's.
    let told = Told {
        authority: Some(&scene.authority),
        tokens: Some(&elsewhere),
        credential: Some(&alice),
        ..Told::default()
    };
    let answer = Berth::told(&scene.registry, &told).ask("team/app:v1").await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(scene.tokens.requests().iter().all(|request| request.authorization.is_none()));
    assert_eq!(elsewhere.requests(), []);
}

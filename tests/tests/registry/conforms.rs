//! The suite, in front of each kind of registry.

use std::time::Duration;

use berth::registry::{Error, Shared, conformance};
use berth_tests::{
    pki::Authority,
    registry::{Options, PASSWORD, Registry, USER},
    token_server::{TokenServer, User},
};

use super::{Berth, HOST, Told, World, password};

#[tokio::test]
async fn over_plain_http() {
    let registry = Registry::start().await.unwrap();
    let world = World::of(&registry);
    let berth = Berth::told(&registry, &Told::default());
    berth.conforms(&world).await;
    let shared = Shared::new(berth.client, Duration::ZERO);
    conformance::check(&shared, &berth.keychain, &world, HOST).await;
    shared.finished().await;
}

#[tokio::test]
async fn over_tls_with_a_password() {
    let authority = Authority::new().unwrap();
    let options = Options { authority: Some(&authority), password: true, ..Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    let told = Told { authority: Some(&authority), ..Told::default() };
    Berth::told(&registry, &Told { credential: Some(&password(USER, PASSWORD)), ..told })
        .conforms(&World::of(&registry))
        .await;

    let answer = Berth::told(&registry, &told).ask("conformance/moving:v1").await;
    assert!(matches!(answer, Err(Error::Unauthorized { anonymous: true, .. })), "{answer:?}");
    let wrong = password(USER, "guess");
    let answer = Berth::told(&registry, &Told { credential: Some(&wrong), ..told }).ask("conformance/moving:v1").await;
    assert!(matches!(answer, Err(Error::Unauthorized { anonymous: false, .. })), "{answer:?}");
}

#[tokio::test]
async fn with_tokens_for_nobody_in_particular_and_for_a_user() {
    let authority = Authority::new().unwrap();
    for public in [true, false] {
        let users = vec![User::new("alice", "wonder", &["conformance/*"])];
        let everybody = if public { vec!["conformance/*".parse().unwrap()] } else { Vec::new() };
        let tokens = TokenServer::start(Some(&authority), users, everybody).await.unwrap();
        let options = Options { authority: Some(&authority), tokens: Some(&tokens), ..Options::default() };
        let registry = Registry::start_with(&options).await.unwrap();
        let alice = password("alice", "wonder");
        let told = Told {
            authority: Some(&authority),
            tokens: Some(&tokens),
            credential: (!public).then_some(&alice),
            ..Told::default()
        };
        Berth::told(&registry, &told).conforms(&World::of(&registry)).await;
        assert!(tokens.requests().iter().all(|request| request.authorization.is_none() == public));
    }
}

#[tokio::test]
async fn with_certificates_on_both_sides() {
    let (authority, clients, strangers) =
        (Authority::new().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let options = Options { authority: Some(&authority), clients: Some(&clients), ..Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    let told = Told { authority: Some(&authority), ..Told::default() };
    Berth::told(&registry, &Told { clients: Some(&clients), ..told }).conforms(&World::of(&registry)).await;
    for clients in [None, Some(&strangers)] {
        let answer = Berth::told(&registry, &Told { clients, ..told }).ask("conformance/moving:v1").await;
        assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
    }
}

/// A cache asks its upstream for every tag, so pushes are seen at once. Deletions are not: what the upstream has no
/// more, the cache goes on serving.
#[tokio::test]
async fn through_a_cache() {
    for password in [false, true] {
        let mut upstream = Registry::start_with(&Options { password, ..Options::default() }).await.unwrap();
        let cache = Registry::start_with(&Options { upstream: Some(&upstream), ..Options::default() }).await.unwrap();
        let berth = Berth::told(&cache, &Told::default());
        berth.conforms(&World { forgets: false, ..World::of(&upstream) }).await;

        let digest = upstream.push("shop/app", "v1", "text").await.unwrap();
        assert_eq!(berth.ask("shop/app:v1").await.unwrap().as_str(), digest);
        upstream.delete("shop/app", "v1").await.unwrap();
        assert_eq!(berth.ask("shop/app:v1").await.unwrap().as_str(), digest, "the cache has forgotten it");
        upstream.stop();
        assert_eq!(berth.ask("shop/app:v1").await.unwrap().as_str(), digest);
    }
}

//! Berth's registry client with the distribution project's registry: the suite that the fake in the unit tests passes.

#![allow(clippy::unwrap_used, reason = "what a test does not find, it fails by")]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use berth::{
    config::{self, CredentialSource},
    image::{Digest, Reference},
    registry::{self, Candidates, Client, Error, Keychain, Question, Resolve as _, Shared, conformance},
    telemetry::Metrics,
};
use berth_tests::{
    pki::Authority,
    registry::{Options, PASSWORD, Registry, USER},
};
use serde_json::json;

/// The name that images have for the registry: Berth reaches it at another address.
const HOST: &str = "registry.example:5000";

/// A registry, and what it takes to change it by hand.
struct World<'a> {
    registry: &'a Registry,
    http: reqwest::Client,
    pushes: AtomicUsize,
}

impl<'a> World<'a> {
    fn of(registry: &'a Registry, authority: Option<&Authority>) -> Self {
        let roots =
            authority.map(|authority| reqwest::Certificate::from_pem(authority.certificate().as_bytes()).unwrap());
        let http = reqwest::Client::builder().tls_certs_only(roots).build().unwrap();
        Self { registry, http, pushes: AtomicUsize::new(0) }
    }
}

impl conformance::World for World<'_> {
    async fn push(&self, image: &str) -> Digest {
        let image: Reference = image.parse().unwrap();
        let text = format!("push {}", self.pushes.fetch_add(1, Ordering::Relaxed));
        let digest = self.registry.push_index(&image.path(), image.tag().unwrap(), &text).await.unwrap();
        digest.parse().unwrap()
    }

    async fn delete(&self, image: &str) {
        let image: Reference = image.parse().unwrap();
        let url = format!("{}/v2/{}/manifests/{}", self.registry.endpoint(), image.path(), image.tag().unwrap());
        let deleted = self.http.delete(url).basic_auth(USER, Some(PASSWORD)).send().await.unwrap();
        assert_eq!(deleted.status(), 202, "{image}");
    }
}

/// Berth's client for [`HOST`], with the password if `password`.
fn client(registry: &Registry, authority: Option<&Authority>, password: bool) -> (Client, Keychain) {
    let folder = tempfile::tempdir().unwrap();
    let (ca, credentials) = (folder.path().join("ca.crt"), folder.path().join("config.json"));
    fs::write(&ca, authority.map(Authority::certificate).unwrap_or_default()).unwrap();
    let auths = json!({ "auths": { HOST: { "username": USER, "password": PASSWORD } } });
    fs::write(&credentials, auths.to_string()).unwrap();
    let entry = config::Registry {
        host: HOST.to_owned(),
        endpoint: Some(registry.endpoint()),
        ca_file: authority.map(|_| ca),
        ..config::Registry::default()
    };
    let source = CredentialSource::DockerConfig(credentials);
    let credentials = password.then(|| config::Credentials { namespaces: Vec::new(), source });
    let credentials = credentials.into_iter().collect();
    let config = config::Config { registries: vec![entry], credentials, ..config::Config::default() };
    (Client::new(&config, Arc::new(Metrics::default())).unwrap(), Keychain::read(&config).unwrap())
}

#[tokio::test]
async fn the_client_conforms_over_plain_http() {
    let registry = Registry::start().await.unwrap();
    let world = World::of(&registry, None);
    let (client, keychain) = client(&registry, None, false);
    conformance::check(&client, &keychain, &world, HOST).await;
    let shared = Shared::new(client, Duration::ZERO);
    conformance::check(&shared, &keychain, &world, HOST).await;
    shared.finished().await;
}

#[tokio::test]
async fn the_client_conforms_over_tls_with_a_password() {
    let authority = Authority::new().unwrap();
    let options = Options { authority: Some(&authority), password: true, ..Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    let world = World::of(&registry, Some(&authority));
    let (client, keychain) = client(&registry, Some(&authority), true);
    conformance::check(&client, &keychain, &world, HOST).await;

    let image: Reference = format!("{HOST}/conformance/moving:v1").parse().unwrap();
    let answer = ask(&client, &image).await;
    assert!(matches!(answer, Err(Error::Unauthorized { anonymous: true, .. })), "{answer:?}");
}

#[tokio::test]
async fn a_registry_that_is_down_is_unreachable_and_comes_back() {
    let mut registry = Registry::start().await.unwrap();
    let digest = registry.push("shop/app", "v1", "text").await.unwrap();
    let (client, _) = client(&registry, None, false);
    let image: Reference = format!("{HOST}/shop/app:v1").parse().unwrap();
    assert_eq!(ask(&client, &image).await.unwrap().as_str(), digest);
    registry.stop();
    let answer = ask(&client, &image).await;
    assert!(matches!(answer, Err(registry::Error::Unreachable { .. })), "{answer:?}");
    registry.restart().await.unwrap();
    assert_eq!(ask(&client, &image).await.unwrap().as_str(), digest);
}

/// Asks without credentials.
async fn ask(client: &Client, image: &Reference) -> Result<Digest, Error> {
    let candidates = Candidates::anonymous();
    client.resolve(&Question::new(image, &candidates), Instant::now() + Duration::from_secs(5)).await
}

//! Berth's registry client with the distribution project's registry, locked in every way that it knows: the suite that
//! the fake in the unit tests passes, and what the registry and its token service say about it.

#![allow(clippy::unwrap_used, reason = "what a test does not find, it fails by")]

mod conforms;
mod providers;
mod tokens;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use berth::{
    config::{self, CredentialSource},
    image::{Digest, Reference},
    registry::{Asker, Client, Error, Keychain, Question, Resolve as _, conformance},
    telemetry::Metrics,
};
use berth_tests::{pki::Authority, registry::Registry, token_server::TokenServer};
use serde_json::{Value, json};

/// The name that images have for the registry: Berth reaches it at another address.
const HOST: &str = "registry.example:5000";

/// Changes what is in a registry.
struct World<'a> {
    registry: &'a Registry,
    forgets: bool,
    pushes: AtomicUsize,
}

impl<'a> World<'a> {
    fn of(registry: &'a Registry) -> Self {
        Self { registry, forgets: true, pushes: AtomicUsize::new(0) }
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
        self.registry.delete(&image.path(), image.tag().unwrap()).await.unwrap();
    }

    fn forgets(&self) -> bool {
        self.forgets
    }
}

/// What Berth is told about a registry.
#[derive(Clone, Copy, Default)]
struct Told<'a> {
    /// Whom its certificate is from.
    authority: Option<&'a Authority>,
    /// Who vouches for Berth.
    clients: Option<&'a Authority>,
    /// The token service that may see its credentials, with a certificate from the same authority.
    tokens: Option<&'a TokenServer>,
    /// An entry of a docker configuration.
    credential: Option<&'a Value>,
}

/// Berth's client and its credentials.
struct Berth {
    client: Client,
    keychain: Keychain,
}

impl Berth {
    /// For `registry`, which images call [`HOST`].
    fn told(registry: &Registry, told: &Told<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: String| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let ca_file = told.authority.map(|authority| write("ca.crt", authority.certificate()));
        let identity = told.clients.map(|clients| clients.client("berth", None).unwrap());
        let entry = config::Registry {
            host: HOST.to_owned(),
            endpoint: Some(registry.endpoint()),
            ca_file: ca_file.clone(),
            client_cert_file: identity.as_ref().map(|identity| write("client.crt", identity.certificate.clone())),
            client_key_file: identity.as_ref().map(|identity| write("client.key", identity.key.clone())),
            token_hosts: told.tokens.iter().map(|tokens| tokens.host()).collect(),
            ..config::Registry::default()
        };
        let service = |tokens: &TokenServer| config::Registry {
            host: tokens.host(),
            ca_file: ca_file.clone(),
            ..config::Registry::default()
        };
        let credential = told.credential.map(|credential| {
            let text = json!({ "auths": { HOST: credential } }).to_string();
            let source = CredentialSource::DockerConfig(write("config.json", text));
            config::Credentials { namespaces: Vec::new(), source }
        });
        let config = config::Config {
            registries: [vec![entry], told.tokens.map(service).into_iter().collect()].concat(),
            credentials: credential.into_iter().collect(),
            ..config::Config::default()
        };
        let client = Client::new(&config, Arc::new(Metrics::default())).unwrap();
        Self { client, keychain: Keychain::read(&config).unwrap() }
    }

    /// Asks with every credential that it has for the image.
    async fn ask(&self, image: &str) -> Result<Digest, Error> {
        let image: Reference = format!("{HOST}/{image}").parse().unwrap();
        let asker = Asker { namespace: "default", proven: false, pull_secrets: None };
        let candidates = self.keychain.candidates(&image, &asker);
        self.client.resolve(&Question::new(&image, &candidates), Instant::now() + Duration::from_secs(5)).await
    }

    async fn conforms(&self, world: &World<'_>) {
        conformance::check(&self.client, &self.keychain, world, HOST).await;
    }
}

/// An entry of a docker configuration with name and password.
fn password(name: &str, password: &str) -> Value {
    json!({ "username": name, "password": password })
}

#[tokio::test]
async fn a_registry_that_is_down_is_unreachable_and_comes_back() {
    let mut registry = Registry::start().await.unwrap();
    let digest = registry.push("shop/app", "v1", "text").await.unwrap();
    let berth = Berth::told(&registry, &Told::default());
    assert_eq!(berth.ask("shop/app:v1").await.unwrap().as_str(), digest);
    registry.stop();
    let answer = berth.ask("shop/app:v1").await;
    assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
    registry.restart().await.unwrap();
    assert_eq!(berth.ask("shop/app:v1").await.unwrap().as_str(), digest);
}

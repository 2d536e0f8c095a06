//! The client against registries that are slow, broken, or hostile.

mod access;
mod again;
mod conforms;
mod lies;
mod roads;
mod stranger;
mod tokens;

use std::{fs, path::Path};

use super::*;
use crate::{
    config::{self, CredentialSource},
    image::Reference,
    registry::{Asker, Keychain},
};

/// A client, and as whom it asks.
struct Asking {
    client: Client,
    keychain: Keychain,
}

/// A client with these hosts configured, each at its endpoint, and credentials by name of host or repository.
fn client(hosts: &[(&str, &str)], credentials: &[(&str, &str)]) -> Asking {
    let registries = hosts.iter().map(|(host, endpoint)| registry(host, endpoint)).collect();
    with_credentials(registries, credentials)
}

fn registry(host: &str, endpoint: &str) -> config::Registry {
    let endpoint = Some(endpoint.to_owned());
    config::Registry { host: host.to_owned(), endpoint, ..config::Registry::default() }
}

fn with_credentials(registries: Vec<config::Registry>, credentials: &[(&str, &str)]) -> Asking {
    let folder = tempfile::tempdir().unwrap();
    let files = if credentials.is_empty() { Vec::new() } else { vec![docker_config(folder.path(), credentials)] };
    let of_all = |file| config::Credentials { namespaces: Vec::new(), source: CredentialSource::DockerConfig(file) };
    let credentials = files.into_iter().map(of_all).collect();
    let config = Config { registries, credentials, ..Config::default() };
    let client = Client::new(&config, Arc::new(Metrics::default())).unwrap();
    Asking { client, keychain: Keychain::read(&config).unwrap() }
}

/// A Docker configuration with `user:password` pairs; the user `<token>` has an identity token.
fn docker_config(folder: &Path, credentials: &[(&str, &str)]) -> std::path::PathBuf {
    let entry = |(name, pair): &(&str, &str)| {
        let (username, password) = pair.split_once(':').unwrap();
        let login = match username {
            "<token>" => serde_json::json!({ "identitytoken": password }),
            _ => serde_json::json!({ "username": username, "password": password }),
        };
        (String::from(*name), login)
    };
    let auths: serde_json::Map<_, _> = credentials.iter().map(entry).collect();
    let file = folder.join("config.json");
    fs::write(&file, serde_json::json!({ "auths": auths }).to_string()).unwrap();
    file
}

/// What `client` says of `image` within ten seconds; what it says never holds a secret.
async fn ask(client: &Asking, image: &str) -> Result<String, String> {
    ask_within(client, image, Duration::from_secs(10)).await
}

async fn ask_within(client: &Asking, image: &str, limit: Duration) -> Result<String, String> {
    let Asking { client, keychain } = client;
    let image: Reference = image.parse().unwrap();
    let candidates = keychain.candidates(&image, &Asker { namespace: "any", proven: false, pull_secrets: None });
    let answer = client.resolve(&Question::new(&image, &candidates), Instant::now() + limit).await;
    let shown = format!("{answer:?} {client:?} {keychain:?} {candidates:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "a secret is shown: {shown}");
    answer.map(|digest| digest.to_string()).map_err(|error| error.to_string())
}

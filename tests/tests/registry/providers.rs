//! Programs that give credentials, in front of a registry that wants a password.

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use berth::{
    config::{self, CredentialSource},
    image::{Digest, Reference},
    registry::{Asker, Client, Error, Keychain, Question, Resolve as _},
    telemetry::Metrics,
};
use berth_tests::{
    provider::{Answer, Credential, Provider, Settings},
    registry::{ECR_PASSWORD, Options, PASSWORD, Registry, USER},
};
use serde_json::json;

/// A registry with a password, under the name that Amazon's have.
async fn registry() -> (Registry, String) {
    let registry = Registry::start_with(&Options { password: true, ..Options::default() }).await.unwrap();
    let digest = registry.push("team/app", "v1", "text").await.unwrap();
    (registry, digest)
}

/// Asks for the image `times` times, with the credentials of `source`.
async fn ask(registry: &Registry, source: CredentialSource, times: usize) -> Vec<Result<Digest, Error>> {
    let entry =
        config::Registry { host: HOST.to_owned(), endpoint: Some(registry.endpoint()), ..config::Registry::default() };
    let config = config::Config {
        registries: vec![entry],
        credentials: vec![config::Credentials { namespaces: Vec::new(), source }],
        ..config::Config::default()
    };
    let client = Client::new(&config, Arc::new(Metrics::default())).unwrap();
    let keychain = Keychain::read(&config).unwrap();
    let image: Reference = format!("{HOST}/team/app:v1").parse().unwrap();
    let asker = Asker { namespace: "default", proven: false, pull_secrets: None };
    let mut answers = Vec::new();
    for _ in 0..times {
        let candidates = keychain.candidates(&image, &asker);
        let deadline = Instant::now() + Duration::from_secs(5);
        answers.push(client.resolve(&Question::new(&image, &candidates), deadline).await);
    }
    answers
}

fn plugin(provider: &Provider) -> CredentialSource {
    let config = provider.configuration(&["*.dkr.ecr.*.amazonaws.com"], "12h").unwrap();
    CredentialSource::Providers { config, bin_dir: provider.folder().to_owned() }
}

#[tokio::test]
async fn amazons_plugin_is_asked_once_as_a_kubelet_would() {
    let (registry, digest) = registry().await;
    let answer = Answer::Ecr { password: ECR_PASSWORD.to_owned() };
    let settings = Settings { watched: vec!["AWS_PROFILE".to_owned()], ..Settings::new(answer) };
    let provider = Provider::install("ecr-credential-provider", &settings).await.unwrap();
    for answer in ask(&registry, plugin(&provider), 3).await {
        assert_eq!(answer.unwrap().as_str(), digest);
    }
    let [run] = provider.runs().unwrap().try_into().unwrap();
    let asked = json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderRequest",
        "image": format!("{HOST}/team/app"),
    });
    let question: serde_json::Value = serde_json::from_str(&run.input).unwrap();
    assert_eq!((run.arguments.as_slice(), &question), (&["get-credentials".to_owned()][..], &asked));
    assert_eq!(run.environment["AWS_PROFILE"], "berth-tests");
}

#[tokio::test]
async fn a_plugin_that_fails_leaves_anonymity() {
    let (registry, _) = registry().await;
    for settings in [
        Settings { exit_code: 1, ..Settings::new(Answer::Ecr { password: ECR_PASSWORD.to_owned() }) },
        Settings::new(Answer::Text("<html>".to_owned())),
        Settings::new(Answer::Huge(20_000_000)),
    ] {
        let provider = Provider::install("broken", &settings).await.unwrap();
        let [answer] = ask(&registry, plugin(&provider), 1).await.try_into().unwrap();
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(provider.runs().unwrap().len(), 1, "{settings:?}");
    }
}

#[tokio::test]
async fn dockers_helper_is_asked_for_the_server() {
    let (registry, digest) = registry().await;
    let secret = Credential { username: USER.to_owned(), password: PASSWORD.to_owned() };
    let answer = Answer::Helper(BTreeMap::from([(HOST.to_owned(), secret)]));
    let provider = Provider::install("docker-credential-tests", &Settings::new(answer)).await.unwrap();
    let file = provider.folder().join("config.json");
    fs::write(&file, json!({ "credHelpers": { HOST: provider.program() } }).to_string()).unwrap();
    for answer in ask(&registry, CredentialSource::DockerConfig(file), 2).await {
        assert_eq!(answer.unwrap().as_str(), digest);
    }
    let runs = provider.runs().unwrap();
    assert!(runs.iter().all(|run| run.arguments == ["get"] && run.input.trim() == HOST), "{runs:?}");
    assert!(!runs.is_empty());
}

const HOST: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

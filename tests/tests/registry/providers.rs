//! Credentials from programs: real processes, and a real registry that lets nobody in without.

use berth_tests::{
    provider::{Answer, Credential, Provider, Settings},
    registry::{ECR_PASSWORD, Options, PASSWORD, USER},
};
use futures::future;

use super::*;

/// A registry of Amazon's, as images name it; Berth reaches it at another address.
const ECR: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

async fn locked() -> (Registry, String) {
    let registry = Registry::start_with(&Options { password: true, ..Options::default() }).await.unwrap();
    let digest = registry.push("team/app", "v1", "text").await.unwrap();
    (registry, digest)
}

/// Berth with these entries of `credentials`, for a registry that images call [`ECR`].
fn berth(registry: &Registry, sources: Vec<CredentialSource>) -> Berth {
    let host = ECR.to_owned();
    let entry = config::Registry { host, endpoint: Some(registry.endpoint()), ..config::Registry::default() };
    let entries = sources.into_iter().map(|source| config::Credentials { namespaces: Vec::new(), source });
    let config =
        config::Config { registries: vec![entry], credentials: entries.collect(), ..config::Config::default() };
    let client = Client::new(&config, Arc::new(Metrics::default())).unwrap();
    Berth { client, keychain: Keychain::read(&config).unwrap() }
}

async fn plugin(settings: &Settings) -> (Provider, CredentialSource) {
    let provider = Provider::install("ecr-credential-provider", settings).await.unwrap();
    let config = provider.configuration(&["*.dkr.ecr.*.amazonaws.com"], "12h").unwrap();
    let source = CredentialSource::Providers { config, bin_dir: provider.folder().to_owned() };
    (provider, source)
}

async fn ask(berth: &Berth, limit: Duration) -> Result<Digest, Error> {
    let image: Reference = format!("{ECR}/team/app:v1").parse().unwrap();
    let asker = Asker { namespace: "default", proven: false, pull_secrets: None };
    let candidates = berth.keychain.candidates(&image, &asker);
    berth.client.resolve(&Question::new(&image, &candidates), Instant::now() + limit).await
}

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn amazons_plugin_lets_berth_in_and_runs_once() {
    let (registry, digest) = locked().await;
    let watched = ["AWS_PROFILE", "PATH"].map(str::to_owned).to_vec();
    let settings = Settings { watched, ..Settings::new(Answer::Ecr { password: ECR_PASSWORD.to_owned() }) };
    let (provider, source) = plugin(&settings).await;
    let berth = berth(&registry, vec![source]);
    for answer in future::join_all((0..20).map(|_| ask(&berth, LIMIT))).await {
        assert_eq!(answer.unwrap().as_str(), digest);
    }
    let runs = provider.runs().unwrap();
    let [run] = &*runs else { panic!("{runs:?}") };
    assert_eq!(run.arguments, ["get-credentials"]);
    let request: Value = serde_json::from_str(&run.input).unwrap();
    assert_eq!(
        (&request["kind"], &request["image"]),
        (&json!("CredentialProviderRequest"), &json!(format!("{ECR}/team/app")))
    );
    assert_eq!(run.environment.get("AWS_PROFILE").map(String::as_str), Some("berth-tests"));
    assert!(run.environment.contains_key("PATH"), "Berth's own environment is passed: {run:?}");
}

#[tokio::test]
async fn where_a_plugin_fails_the_next_credential_counts_and_else_the_plugin_is_named() {
    let (registry, digest) = locked().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    fs::write(&file, json!({ "auths": { ECR: password(USER, PASSWORD) } }).to_string()).unwrap();
    let fails = Settings { exit_code: 7, ..Settings::new(Answer::Ecr { password: ECR_PASSWORD.to_owned() }) };
    for (settings, want) in [
        (fails, "failed with exit status: 7"),
        (Settings::new(Answer::Text("hunter2".to_owned())), "cannot be used: broken JSON at line 1 column 1"),
        (Settings::new(Answer::Huge(20_000_000)), "wrote more than 64 KiB"),
    ] {
        let (provider, source) = plugin(&Settings { complaint: "hunter2".to_owned(), ..settings }).await;
        let both = berth(&registry, vec![source.clone(), CredentialSource::DockerConfig(file.clone())]);
        assert_eq!(ask(&both, LIMIT).await.unwrap().as_str(), digest);
        let alone = berth(&registry, vec![source]);
        for _ in 0..5 {
            let error = ask(&alone, LIMIT).await.unwrap_err();
            assert!(matches!(error, Error::NoCredentials { .. }) && error.is_outage(), "{error:?}");
            let words = error.to_string();
            assert!(words.contains(": ecr-credential-provider ") && words.ends_with(want), "{words}");
        }
        assert_eq!(provider.runs().unwrap().len(), 2, "once for each of the two Berths");
    }
}

#[tokio::test]
async fn a_slow_plugin_costs_three_quarters_of_the_time_and_its_answer_is_kept() {
    let (registry, digest) = locked().await;
    let settings = Settings { sleep_ms: 2500, ..Settings::new(Answer::Ecr { password: ECR_PASSWORD.to_owned() }) };
    let (provider, source) = plugin(&settings).await;
    let berth = berth(&registry, vec![source]);
    let begin = Instant::now();
    let error = ask(&berth, Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, Error::NoCredentials { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(ask(&berth, LIMIT).await.unwrap().as_str(), digest);
    assert_eq!(provider.runs().unwrap().len(), 1);
}

#[tokio::test]
async fn dockers_program_lets_berth_in() {
    let (registry, digest) = locked().await;
    let credential = Credential { username: USER.to_owned(), password: PASSWORD.to_owned() };
    let answer = Answer::Helper([(ECR.to_owned(), credential)].into());
    let provider = Provider::install("docker-credential-tests", &Settings::new(answer)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    fs::write(&file, json!({ "credHelpers": { ECR: provider.program() } }).to_string()).unwrap();
    let berth = berth(&registry, vec![CredentialSource::DockerConfig(file)]);
    for _ in 0..3 {
        assert_eq!(ask(&berth, LIMIT).await.unwrap().as_str(), digest);
    }
    let runs = provider.runs().unwrap();
    assert_eq!(
        runs.iter().map(|run| (&*run.arguments, &*run.input)).collect::<Vec<_>>(),
        [(&["get".to_owned()][..], ECR)]
    );
}

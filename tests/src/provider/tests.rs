use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::*;

fn start(provider: &Provider, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(provider.program());
    command.args(arguments).env("AWS_PROFILE", "tests").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn question(image: &str) -> String {
    let kind = "CredentialProviderRequest";
    json!({ "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": kind, "image": image }).to_string()
}

fn known(name: &str, username: &str, password: &str) -> BTreeMap<String, Credential> {
    let credential = Credential { username: username.to_owned(), password: password.to_owned() };
    BTreeMap::from([(name.to_owned(), credential)])
}

#[tokio::test]
async fn it_answers_a_kubelet_and_counts_its_runs() {
    let auth = known("*.example.com/team", "alice", "wonder");
    let answer = Answer::Kubelet { auth, cache_key_type: "Image".to_owned(), cache_duration: None };
    let watched = ["AWS_PROFILE", "NOT_SET"].map(str::to_owned).to_vec();
    let provider = Provider::install("any", &Settings { watched, ..Settings::new(answer) }).await.unwrap();
    assert_eq!(provider.runs().unwrap(), []);
    let image = question("reg.example.com/team/app");
    let want = json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Image",
        "cacheDuration": null,
        "auth": { "*.example.com/team": { "username": "alice", "password": "wonder" } },
    });
    assert_eq!(json_of(&start(&provider, &["get-credentials"], &image)), want);
    assert!(!start(&provider, &[], "{}").status.success());
    let run = |arguments: &[&str], input: &str| Run {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        input: input.to_owned(),
        environment: BTreeMap::from([("AWS_PROFILE".to_owned(), "tests".to_owned())]),
    };
    assert_eq!(provider.runs().unwrap(), [run(&["get-credentials"], &image), run(&[], "{}")]);
}

#[tokio::test]
async fn it_knows_amazons_registries_and_no_others() {
    let answer = Answer::Ecr { password: "secret".to_owned() };
    let provider = Provider::install("ecr-credential-provider", &Settings::new(answer)).await.unwrap();
    for (registry, known) in [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", true),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", true),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", true),
        ("12345678901.dkr.ecr.eu-central-1.amazonaws.com", false),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", false),
        ("public.ecr.aws", false),
    ] {
        let output = start(&provider, &[], &question(&format!("{registry}/team/app")));
        assert_eq!(output.status.success(), known, "{registry}");
        if known {
            let answer = json_of(&output);
            assert_eq!(answer["auth"], json!({ registry: { "username": "AWS", "password": "secret" } }));
            assert_eq!((&answer["cacheKeyType"], &answer["cacheDuration"]), (&json!("Registry"), &json!("6h0m0s")));
        }
    }
}

#[tokio::test]
async fn it_answers_docker_as_a_helper() {
    let answer = Answer::Helper(known("https://reg.example", "<token>", "identity"));
    let provider = Provider::install("docker-credential-tests", &Settings::new(answer)).await.unwrap();
    let want = json!({ "ServerURL": "https://reg.example", "Username": "<token>", "Secret": "identity" });
    assert_eq!(json_of(&start(&provider, &["get"], "https://reg.example\n")), want);
    for (argument, server) in [("get", "https://other.example"), ("list", "https://reg.example")] {
        let output = start(&provider, &[argument], server);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"credentials not found in native keychain\n");
    }
}

#[tokio::test]
async fn it_misbehaves_as_told() {
    let provider = Provider::install("broken", &Settings::new(Answer::Huge(3_000_000))).await.unwrap();
    assert_eq!(start(&provider, &[], "").stdout.len(), 3_000_000);
    let settings = Settings {
        sleep_ms: 100,
        exit_code: 7,
        complaint: "no access".to_owned(),
        ..Settings::new(Answer::Text("<html>".to_owned()))
    };
    provider.set(&settings).unwrap();
    let begin = Instant::now();
    let output = start(&provider, &[], "anything");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"<html>"[..], &b"no access"[..]));
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(provider.runs().unwrap().len(), 2);
}

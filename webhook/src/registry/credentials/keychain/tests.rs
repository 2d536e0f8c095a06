use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::{
    config::{CredentialSource, PullSecrets},
    registry::credentials::{Candidate, Credential, Format},
};

const SECRET: &str = "hunter2";

fn logins(server: &str, user: &str) -> String {
    format!(r#"{{"auths": {{"{server}": {{"username": "{user}", "password": "{SECRET}"}}}}}}"#)
}

/// A keychain with an entry for each user, which serves these namespaces.
fn keychain(entries: &[(&str, &[&str])], provable: bool) -> Keychain {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    for (user, namespaces) in entries {
        let file = folder.path().join(user);
        fs::write(&file, logins("reg.example", user)).unwrap();
        let namespaces = namespaces.iter().map(|&name| name.to_owned()).collect();
        config.credentials.push(Credentials { namespaces, source: CredentialSource::DockerConfig(file) });
    }
    let client_ca_file = provable.then(|| PathBuf::from("ca.crt"));
    config.pull_secrets = PullSecrets { client_ca_file, ..config.pull_secrets };
    Keychain::read(&config).unwrap()
}

fn users(candidates: &Candidates) -> Vec<&str> {
    let name = |candidate| match candidate {
        &Candidate::Known(Credential::Password { ref username, .. }) => username.as_str(),
        other => panic!("{other:?}"),
    };
    candidates.iter().map(name).collect()
}

fn image() -> Reference {
    "reg.example/team/app".parse().unwrap()
}

#[test]
fn an_entry_serves_its_namespaces_and_where_callers_can_prove_themselves_only_proven_ones() {
    let entries: &[(&str, &[&str])] = &[("ours", &["us", "both"]), ("theirs", &["them", "both"]), ("all", &[])];
    for provable in [false, true] {
        let keychain = keychain(entries, provable);
        for proven in [false, true] {
            for (namespace, named) in [
                ("us", vec!["ours", "all"]),
                ("them", vec!["theirs", "all"]),
                ("both", vec!["ours", "theirs", "all"]),
                ("u", vec!["all"]),
                ("", vec!["all"]),
            ] {
                let want = if provable && !proven { vec!["all"] } else { named };
                let asker = Asker { namespace, proven, pull_secrets: None };
                let got = keychain.candidates(&image(), &asker);
                assert_eq!(users(&got), want, "provable {provable}, proven {proven}, namespace {namespace:?}");
            }
        }
    }
}

#[test]
fn pull_secrets_come_first_and_serve_proven_callers_only() {
    let mut secrets = Keyring::default();
    secrets.add(logins("reg.example", "pod").as_bytes(), Format::Config).unwrap();
    for entries in [&[][..], &[("all", &[][..])]] {
        let keychain = keychain(entries, true);
        let all: Vec<_> = entries.iter().map(|(user, _)| *user).collect();
        for (proven, want) in [(true, [vec!["pod"], all.clone()].concat()), (false, all)] {
            let asker = Asker { namespace: "us", proven, pull_secrets: Some(&secrets) };
            assert_eq!(users(&keychain.candidates(&image(), &asker)), want, "proven {proven}");
        }
    }
}

#[test]
fn whoever_asks_with_other_credentials_has_another_key() {
    let keychain = keychain(&[("ours", &["us"]), ("theirs", &["them"])], false);
    let key = |namespace: &str| {
        let asker = Asker { namespace, proven: false, pull_secrets: None };
        keychain.candidates(&image(), &asker).key().map(str::to_owned)
    };
    assert_eq!((key("nobody"), key("us")), (None, key("us")));
    assert!(key("us").is_some() && key("them").is_some() && key("us") != key("them"));
}

/// A keychain with a provider that writes `answer`.
fn provided(folder: &TempDir, answer: &str) -> Keychain {
    let program = folder.path().join("program");
    // Written by another process: one that a test forks meanwhile would keep it open, and it could not be started.
    let write = format!("cat > '{0}' && chmod 755 '{0}'", program.display());
    let mut child =
        std::process::Command::new("sh").args(["-c", &write]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let script = format!("#!/bin/sh\ncat > /dev/null\nprintf '%s' '{answer}'\n");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    let file = folder.path().join("providers.yaml");
    let text = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n  - name: program\n    \
                matchImages: [reg.example]\n    defaultCacheDuration: 1h\n    \
                apiVersion: credentialprovider.kubelet.k8s.io/v1\n    args: [hunter2]\n    \
                env: [{ name: SECRET, value: hunter2 }]\n";
    fs::write(&file, text).unwrap();
    let source = CredentialSource::Providers { config: file, bin_dir: folder.path().to_owned() };
    let mut config = Config::default();
    config.credentials.push(Credentials { namespaces: Vec::new(), source });
    Keychain::read(&config).unwrap()
}

#[tokio::test]
async fn a_secret_is_shown_nowhere() {
    let login = format!(r#""reg.example": {{"username": "AWS", "password": "{SECRET}"}}"#);
    let head = r#""kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1""#;
    let folder = tempfile::tempdir().unwrap();
    let keychain = provided(&folder, &format!(r#"{{{head}, "cacheKeyType": "Image", "auth": {{{login}}}}}"#));
    let mut secrets = Keyring::default();
    let tokens = format!(
        r#"{{"auths": {{"reg.example": {{"identitytoken": "{SECRET}"}}, "*": {{"registrytoken": "{SECRET}"}}}}}}"#
    );
    secrets.add(tokens.as_bytes(), Format::Config).unwrap();
    secrets.add(logins("reg.example", "user").as_bytes(), Format::Config).unwrap();
    let asker = Asker { namespace: "us", proven: true, pull_secrets: Some(&secrets) };
    let candidates = keychain.candidates(&image(), &asker);
    let mut shown = vec![format!("{asker:?} {candidates:?} {:?}", candidates.key())];
    for candidate in candidates.iter() {
        let credentials = candidate.credentials(Instant::now() + Duration::from_secs(60)).await.unwrap();
        assert_eq!(credentials.len(), 1, "{candidate:?}");
        let one = &credentials[0];
        shown.push(format!("{one:?} {:?} {:?} {:?}", one.basic(), one.bearer(), one.identity_token()));
    }
    shown.push(format!("{keychain:?}")); // with what its provider has said
    let shown = shown.concat();
    assert!(shown.contains("Password") && shown.contains("program"), "{shown}");
    let base64 = [credential_in_base64("AWS"), credential_in_base64("user")];
    for secret in [SECRET, &base64[0], &base64[1]] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn credential_in_base64(user: &str) -> String {
    let header = Credential::password(user, SecretString::from(SECRET)).basic().unwrap();
    header.to_str().unwrap().trim_start_matches("Basic ").to_owned()
}

#[tokio::test]
async fn a_provider_has_the_same_key_whatever_it_answers() {
    let asker = Asker { namespace: "us", proven: false, pull_secrets: None };
    let folder = tempfile::tempdir().unwrap();
    let key = |keychain: &Keychain| keychain.candidates(&image(), &asker).key().map(str::to_owned);
    let (one, other) = (provided(&folder, "one"), provided(&folder, "other"));
    assert!(key(&one).is_some() && key(&one) == key(&other));
    let elsewhere = provided(&tempfile::tempdir().unwrap(), "one");
    assert_ne!(key(&one), key(&elsewhere));
}

#[test]
fn a_crowd_in_pull_secrets_does_not_crowd_out_the_administrators() {
    let mut secrets = Keyring::default();
    for number in 0..40 {
        let mut secret = Keyring::default();
        secret.add(logins("reg.example", &format!("pod-{number}")).as_bytes(), Format::Config).unwrap();
        secrets.extend(&secret);
    }
    let keychain = keychain(&[("all", &[])], true);
    let found = keychain.candidates(&image(), &Asker { namespace: "us", proven: true, pull_secrets: Some(&secrets) });
    let users = users(&found);
    assert_eq!((users.len(), users[0], users[15], users[16]), (MOST_OF_A_POD + 1, "pod-0", "pod-15", "all"));
}

#[test]
fn a_large_secret_costs_by_its_size() {
    let entry = |number| format!(r#""{number:06}.example": {{"auth": "YTpi"}}"#);
    let text = format!(r#"{{"auths": {{{}}}}}"#, (0..40_000).map(entry).collect::<Vec<_>>().join(","));
    let began = Instant::now();
    let (mut keyring, mut both) = (Keyring::default(), Keyring::default());
    keyring.add(text.as_bytes(), Format::Config).unwrap();
    both.extend(&keyring);
    assert!(began.elapsed() < Duration::from_secs(10), "each was compared with each");
}

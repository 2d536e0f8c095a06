use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::registry::credentials::Credential;

const ENTRY: &str = r#"{"username": "user", "password": "hunter2"}"#;

/// A folder with a program, one that is not executable, and the file `file`.
fn folder(file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (program, mode) in [("program", 0o755), ("locked", 0o644)] {
        let path = folder.path().join(program);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let file = file.replace("FOLDER", &folder.path().display().to_string());
    fs::write(folder.path().join("file"), file).unwrap();
    folder
}

fn docker(file: &str) -> Result<Source, String> {
    let folder = folder(file);
    Source::docker(&folder.path().join("file"), &TaskTracker::new()).map_err(|error| error.to_string())
}

/// What is tried for `image`: names, and `?` where somebody is asked.
fn tried(source: &Source, image: &str) -> Vec<String> {
    let (host, path) = image.split_once('/').unwrap();
    let candidates = source.candidates(&Name::new(host, path));
    let name = |candidate: &Candidate| match candidate {
        Candidate::Known(Credential::Password { username, .. }) => username.clone(),
        Candidate::Known(_) => "token".to_owned(),
        Candidate::Asked(_) => "?".to_owned(),
    };
    candidates.iter().map(name).collect()
}

#[test]
fn a_file_has_either_format_whatever_its_name() {
    let read = |text: &str| docker(text).map(|source| tried(&source, "reg.example/x"));
    let user = Ok(vec!["user".to_owned()]);
    assert_eq!(read(&format!(r#"{{"auths": {{"reg.example": {ENTRY}}}}}"#)), user);
    assert_eq!(read(&format!(r#"{{"reg.example": {ENTRY}}}"#)), user);
    assert_eq!(read(&format!(r#"{{"reg.example": {ENTRY}, "credsStore": ""}}"#)), Ok(vec![]));
    assert_eq!(read(&format!(r#"{{"auths": {{"reg.example": {ENTRY}, "gone.example": null}}}}"#)), user);
    assert_eq!(read(r#"{"detachKeys": "ctrl-e,e"}"#), Ok(vec![]));
    assert_eq!(read(r#"{"auths": null, "credHelpers": null, "credsStore": null}"#), Ok(vec![]));
    assert_eq!(read(r#"{"credHelpers": {"reg.example": null}, "credsStore": ""}"#), Ok(vec![]));
    assert_eq!(read("{}"), Ok(vec![]));
}

#[test]
fn programs_are_asked_before_the_file_and_one_for_each_server() {
    let source = docker(&format!(
        r#"{{
            "auths": {{"reg.example": {ENTRY}, "docker.io": {ENTRY}}},
            "credHelpers": {{"reg.example": "FOLDER/program", "https://index.docker.io/v1/": "FOLDER/program"}}
        }}"#
    ));
    let source = source.unwrap();
    assert_eq!(tried(&source, "reg.example/x"), ["?", "user"]);
    assert_eq!(tried(&source, "docker.io/library/x"), ["?", "user"]);
    assert_eq!(tried(&source, "other.example/x"), [""; 0]);
    let text = r#"{"credHelpers": {"*.example": "FOLDER/program", "reg.example": "FOLDER/program"}, "credsStore": "FOLDER/program"}"#;
    let source = docker(text).unwrap();
    let asked = |image: &str| match &*source.candidates(&Name::new(image, "x")) {
        [Candidate::Asked(inquiry)] => inquiry.fingerprint().to_string(),
        other => panic!("{other:?}"),
    };
    let [exact, glob, store] = ["reg.example", "other.example", "elsewhere"].map(asked);
    assert!(exact == glob && glob == store, "it is one program, and asked about all");
    let Source::Docker { providers, .. } = &source else { panic!("no Docker configuration") };
    let covering = |host: &str| providers.iter().position(|provider| provider.covers(&Name::new(host, "x")));
    assert_eq!(["reg.example", "other.example", "elsewhere"].map(covering), [Some(0), Some(1), Some(2)]);
}

#[test]
fn a_program_is_named_in_full_and_can_be_run() {
    let error = |text: &str| docker(text).unwrap_err();
    let bare = "is no absolute path; write the program's, as in `/opt/berth/docker-credential-ecr-login`";
    for text in [r#"{"credHelpers": {"reg.example": "ecr-login"}}"#, r#"{"credsStore": "ecr-login"}"#] {
        assert!(error(text).ends_with(&format!("cannot be used: `ecr-login` {bare}")), "{}", error(text));
    }
    assert!(
        error(r#"{"credsStore": "FOLDER/locked"}"#)
            .ends_with("/locked for credentials cannot be run: it is not executable")
    );
    assert!(error(r#"{"credsStore": "FOLDER"}"#).ends_with(" for credentials cannot be run: it is no file"));
    assert!(error(r#"{"credsStore": "FOLDER/none"}"#).contains("/none for credentials cannot be run: No such file"));
    assert!(error(&format!(r#"{{"auths": {{"a b": {ENTRY}}}}}"#)).ends_with("`a b` is no host"));
    assert!(error("{").ends_with("file cannot be used: broken JSON at line 1 column 1"));
    let error = Source::docker(Path::new("/nowhere/config.json"), &TaskTracker::new()).unwrap_err();
    assert_eq!(error.to_string(), "the credentials file /nowhere/config.json cannot be read");
}

#[test]
fn a_kubelets_providers_are_asked_together() {
    let kubelet = |name: &str, images: &str| {
        let provider = |name: &str| {
            let version = "credentialprovider.kubelet.k8s.io/v1";
            format!("{{ name: {name}, matchImages: {images}, defaultCacheDuration: 0s, apiVersion: {version} }}")
        };
        let head = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n";
        let folder = folder(&format!("{head}providers:\n  - {}\n", provider(name)));
        Source::kubelet(&folder.path().join("file"), folder.path(), &TaskTracker::new())
            .map_err(|error| error.to_string())
    };
    let source = kubelet("program", "[\"*.example:5000/team\"]").unwrap();
    assert_eq!(tried(&source, "reg.example:5000/team/app"), ["?"]);
    assert_eq!(tried(&source, "reg.example/team/app"), [""; 0]);
    assert!(kubelet("locked", "[a.example]").unwrap_err().ends_with("it is not executable"));
    assert!(kubelet("none", "[a.example]").unwrap_err().contains("No such file"));
    assert!(kubelet("../program", "[a.example]").unwrap_err().contains("is not the name of a file in `binDir`"));
    let scheme = kubelet("program", "[\"https://a.example\"]").unwrap_err();
    assert!(scheme.ends_with("`https://a.example` is no host, nor a host with a path"), "{scheme}");
}

use super::*;

fn keyring(texts: &[&str]) -> Keyring {
    let mut keyring = Keyring::default();
    for text in texts {
        keyring.add(text.as_bytes()).unwrap();
    }
    keyring
}

#[track_caller]
fn check(keyring: &Keyring, image: &str, want: &[&str]) {
    let (host, path) = image.split_once('/').unwrap();
    let got: Vec<_> = keyring.matching(host, path).map(|credential| credential.username.as_str()).collect();
    assert_eq!(got, want, "image: {image}");
}

fn entry(user: &str) -> String {
    format!(r#"{{"username": "{user}", "password": "hunter2"}}"#)
}

#[test]
fn entries_match_by_host_port_and_path_longest_first() {
    let names = [
        ("reg.example", "host"),
        ("reg.example/team", "team"),
        ("https://reg.example/v2/team/app", "app"),
        ("reg.example:5000", "port"),
        ("*.example.com", "star"),
        ("a?c.example.org", "mark"),
        ("https://index.docker.io/v1/", "hub"),
    ];
    let auths: Vec<_> = names.iter().map(|(name, user)| format!("\"{name}\": {}", entry(user))).collect();
    let keyring = keyring(&[&format!("{{\"auths\": {{{}}}}}", auths.join(","))]);
    check(&keyring, "reg.example/other/x", &["host"]);
    check(&keyring, "reg.example/team/x", &["team", "host"]);
    check(&keyring, "reg.example/team/app", &["app", "team", "host"]);
    check(&keyring, "reg.example:5000/team/app", &["port"]);
    check(&keyring, "reg.example:5001/team/app", &[]);
    check(&keyring, "a.example.com/x", &["star"]);
    check(&keyring, "a.b.example.com/x", &[]);
    check(&keyring, "example.com/x", &[]);
    check(&keyring, "abc.example.org/x", &["mark"]);
    check(&keyring, "docker.io/library/nginx", &["hub"]);
    check(&keyring, "reg.example.evil.com/team/x", &[]);
    check(&keyring, "evil.reg.example/team/x", &[]);
}

#[test]
fn the_first_files_entries_come_first() {
    let [one, two] = ["one", "two"].map(|user| format!(r#"{{"auths": {{"reg.example": {}}}}}"#, entry(user)));
    check(&keyring(&[&one, &two]), "reg.example/x", &["one", "two"]);
    check(&keyring(&[&two, &one]), "reg.example/x", &["two", "one"]);
}

#[track_caller]
fn check_pair(text: &str, want: Option<(&str, &str)>) {
    let keyring = keyring(&[&format!(r#"{{"auths": {{"reg.example": {text}}}}}"#)]);
    let got = keyring.matching("reg.example", "x").next();
    let got = got.map(|credential| (credential.username.as_str(), credential.password.expose_secret()));
    assert_eq!(got, want, "entry: {text}");
}

#[test]
fn an_entry_has_auth_or_name_and_password() {
    check_pair(r#"{"auth": "dXNlcjpwYTpzcw=="}"#, Some(("user", "pa:ss")));
    check_pair(r#"{"auth": "dXNlcjpwYTpzcw"}"#, Some(("user", "pa:ss")));
    check_pair(r#"{"username": "user", "password": "pass", "email": "x"}"#, Some(("user", "pass")));
    check_pair(r#"{"auth": "dXNlcjpwYTpzcw==", "username": "other", "password": "x"}"#, Some(("user", "pa:ss")));
    check_pair(r#"{"auth": "", "username": "user", "password": "pass"}"#, Some(("user", "pass")));
    check_pair("{}", None);
    check_pair(r#"{"username": "user"}"#, None);
}

#[test]
fn an_identity_token_is_no_password() {
    check_pair(r#"{"auth": "dXNlcjpwYTpzcw==", "identitytoken": "ey.ey"}"#, None);
    check_pair(r#"{"identitytoken": "ey.ey"}"#, None);
}

#[track_caller]
fn check_broken(text: &str, want: &str) {
    assert_eq!(Keyring::default().add(text.as_bytes()), Err(want.to_owned()), "text: {text}");
}

#[test]
fn what_is_broken_is_said_without_the_secret() {
    check_broken(r#"{"auths": "hunter2"}"#, "a value of the wrong type at line 1 column 19");
    check_broken(r#"{"auths": {"a": {"auth": 5}}}"#, "a value of the wrong type at line 1 column 26");
    check_broken("{\n  \"auths\": hunter2", "broken JSON at line 2 column 12");
    check_broken("", "broken JSON at line 1 column 0");
    let base64 = "`auth` of `reg` is not `user:password` in base64";
    check_broken(r#"{"auths": {"reg": {"auth": "hunter2!"}}}"#, base64);
    check_broken(r#"{"auths": {"reg": {"auth": "aHVudGVyMg=="}}}"#, base64);
    check_broken(&format!(r#"{{"auths": {{"a b": {}}}}}"#, entry("x")), "`a b` is no host");
}

#[test]
fn a_file_is_named_when_it_cannot_be_used() {
    let error = Keyring::read(&[PathBuf::from("/nowhere/config.json")]).unwrap_err();
    assert_eq!(error.to_string(), "the credentials file /nowhere/config.json cannot be read");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    fs::write(&file, "{").unwrap();
    let error = Keyring::read(std::slice::from_ref(&file)).unwrap_err().to_string();
    assert!(error.ends_with("config.json is not a Docker configuration: broken JSON at line 1 column 1"), "{error}");
}

#[test]
fn debug_shows_no_secret() {
    let keyring = keyring(&[&format!(r#"{{"auths": {{"reg.example": {}}}}}"#, entry("user"))]);
    let header = keyring.matching("reg.example", "x").next().and_then(Credential::basic).unwrap();
    assert_eq!(header, "Basic dXNlcjpodW50ZXIy");
    let shown = format!("{keyring:?} {header:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("dXNlcjpodW50ZXIy"), "{shown}");
}

#[test]
fn fingerprints_tell_credentials_apart() {
    let print = |username: &str, password: &str| {
        Credential { username: username.to_owned(), password: password.into() }.fingerprint()
    };
    assert_eq!(print("a", "b"), print("a", "b"));
    assert_ne!(print("a", "b"), print("a", "c"));
    assert_ne!(print("ab", "c"), print("a", "bc"));
}

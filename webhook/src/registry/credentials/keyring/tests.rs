use secrecy::ExposeSecret as _;

use super::*;

fn keyring(texts: &[&str]) -> Keyring {
    let mut keyring = Keyring::default();
    for text in texts {
        keyring.add(text.as_bytes(), Format::Config).unwrap();
    }
    keyring
}

#[track_caller]
fn check(keyring: &Keyring, image: &str, want: &[&str]) {
    let (host, path) = image.split_once('/').unwrap();
    let got: Vec<_> = keyring.matching(host, path).map(username).collect();
    assert_eq!(got, want, "image: {image}");
}

fn username(credential: &Credential) -> &str {
    let Credential::Password { username, .. } = credential else { panic!("no password") };
    username
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
fn check_login(text: &str, want: Option<(&str, &str)>) {
    let keyring = keyring(&[&format!(r#"{{"auths": {{"reg.example": {text}}}}}"#)]);
    let got = keyring.matching("reg.example", "x").next().map(|credential| match credential {
        Credential::Password { username, password } => (username.as_str(), password.expose_secret()),
        Credential::IdentityToken(token) => ("<identity token>", token.expose_secret()),
        Credential::RegistryToken(token) => ("<registry token>", token.expose_secret()),
    });
    assert_eq!(got, want, "entry: {text}");
}

#[test]
fn an_entry_has_auth_or_name_and_password() {
    check_login(r#"{"auth": "dXNlcjpwYTpzcw=="}"#, Some(("user", "pa:ss")));
    check_login(r#"{"auth": "dXNlcjpwYTpzcw"}"#, Some(("user", "pa:ss")));
    check_login(r#"{"username": "user", "password": "pass", "email": "x"}"#, Some(("user", "pass")));
    check_login(r#"{"auth": "dXNlcjpwYTpzcw==", "username": "other", "password": "x"}"#, Some(("user", "pa:ss")));
    check_login(r#"{"auth": "", "username": "user", "password": "pass"}"#, Some(("user", "pass")));
    check_login("{}", None);
    check_login(r#"{"username": "user"}"#, None);
    // As `base64` breaks lines, here and on Windows.
    check_login(r#"{"auth": "dXNlcjpw\nYTpzcw==\n"}"#, Some(("user", "pa:ss")));
    check_login(r#"{"auth": "dXNlcjpwYTpz\r\ncw=\r\n=\r\n"}"#, Some(("user", "pa:ss")));
}

#[test]
fn null_is_nothing() {
    check_login("null", None);
    check_login(r#"{"auth": null, "username": "user", "password": "pass", "email": null}"#, Some(("user", "pass")));
    let tokens = r#"{"identitytoken": null, "registrytoken": null, "auth": "dXNlcjpwYTpzcw==", "username": null, "password": null}"#;
    check_login(tokens, Some(("user", "pa:ss")));
    for (text, format) in [
        (r#"{"auths": null, "credHelpers": null, "HttpHeaders": null}"#.to_owned(), Format::Config),
        ("null".to_owned(), Format::Legacy),
        (format!(r#"{{"gone.example": null, "reg.example": {}}}"#, entry("user")), Format::Legacy),
    ] {
        let mut keyring = Keyring::default();
        keyring.add(text.as_bytes(), format).unwrap();
        let want: &[_] = if text.contains("user") { &["user"] } else { &[] };
        check(&keyring, "reg.example/x", want);
    }
}

#[test]
fn a_token_is_no_password() {
    check_login(r#"{"auth": "dXNlcjpwYTpzcw==", "identitytoken": "ey.ey"}"#, Some(("<identity token>", "ey.ey")));
    check_login(r#"{"auth": "dXNlcjpwYTpzcw==", "identitytoken": ""}"#, Some(("user", "pa:ss")));
    check_login(r#"{"identitytoken": "ey.ey", "registrytoken": "abc"}"#, Some(("<registry token>", "abc")));
}

#[test]
fn docker_hubs_old_address_counts_where_nothing_names_the_new_one() {
    let keyring = keyring(&[&format!(
        r#"{{"auths": {{"docker.io/team": {}, "https://index.docker.io/v1/": {}, "index.docker.io/more": {}}}}}"#,
        entry("team"),
        entry("hub"),
        entry("never")
    )]);
    check(&keyring, "docker.io/team/app", &["team"]);
    check(&keyring, "docker.io/library/nginx", &["hub"]);
    check(&keyring, "docker.io/more/app", &["hub"]);
    // The kubelet also takes hosts without a dot for Docker Hub, and would show them its password.
    check(&keyring, "localhost/app", &[]);
}

#[test]
fn both_types_of_secret_are_read_and_no_other() {
    let auths = format!(r#"{{"reg.example": {}}}"#, entry("user"));
    for (kind, key, text) in [
        ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &*format!(r#"{{"auths": {auths}}}"#)),
        ("kubernetes.io/dockercfg", ".dockercfg", &auths),
    ] {
        let format = Format::of_secret(kind).unwrap();
        assert_eq!(format.secret_key(), key);
        let mut keyring = Keyring::default();
        keyring.add(text.as_bytes(), format).unwrap();
        check(&keyring, "reg.example/x", &["user"]);
    }
    assert_eq!(Format::of_secret("Opaque"), None);
    assert_eq!(Format::of_secret("kubernetes.io/tls"), None);
}

#[test]
fn a_server_that_is_no_host_costs_a_tenant_only_that_entry() {
    let keyring = keyring(&[&format!(r#"{{"auths": {{"a b": {}, "reg.example": {}}}}}"#, entry("no"), entry("yes"))]);
    check(&keyring, "reg.example/x", &["yes"]);
}

#[track_caller]
fn check_broken(text: &str, want: &str) {
    assert_eq!(Keyring::default().add(text.as_bytes(), Format::Config), Err(want.to_owned()), "text: {text}");
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
}

#[test]
fn debug_shows_no_secret() {
    let keyring = keyring(&[&format!(r#"{{"auths": {{"reg.example": {}}}}}"#, entry("user"))]);
    let header = keyring.matching("reg.example", "x").next().and_then(Credential::basic).unwrap();
    assert_eq!(header, "Basic dXNlcjpodW50ZXIy");
    let shown = format!("{keyring:?} {header:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("dXNlcjpodW50ZXIy"), "{shown}");
}

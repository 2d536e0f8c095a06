//! Docker's credential helpers: `PROGRAM get`, the server on standard input, a login on standard output.
//!
//! # Source
//! `docker/docker-credential-helpers`, `credentials/credentials.go` and `credentials/error.go`.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Answer,
    memory::{Name, Reach},
};
use crate::registry::credentials::{credential::Credential, docker, keyring::Keyring, scope::Scope};

/// What the program is called with.
pub(in crate::registry::credentials) const ARGUMENT: &str = "get";

/// The server as `docker login` names it.
pub(super) fn request(name: &Name) -> String {
    let host = name.host();
    if host == "docker.io" { "https://index.docker.io/v1/".to_owned() } else { host.to_owned() }
}

/// Whether the output of a program that failed says that it knows no such server.
pub(super) fn is_unknown(text: &[u8]) -> bool {
    text.trim_ascii().starts_with(b"credentials not found")
}

/// The answer of a program that knows no such server.
pub(super) fn nothing() -> Answer {
    Answer { reach: Reach::Registry, keyring: Keyring::default(), good: REMEMBERED }
}

/// Reads a login for the host of `name`.
///
/// # Errors
/// What is wrong, without any of the text: it holds a password.
pub(super) fn read(text: &[u8], name: &Name) -> Result<Answer, String> {
    let login: Login = docker::read(text)?;
    let credential = match &*login.username {
        "<token>" => Credential::IdentityToken(login.secret),
        _ => Credential::password(login.username, login.secret),
    };
    let mut answer = nothing();
    answer.keyring.insert(Scope::parse_server(name.host())?, credential);
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    username: String,
    secret: SecretString,
}

/// How long a login is used: it does not say how long it is good.
const REMEMBERED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_server_is_the_host_but_for_docker_hub() {
        assert_eq!(request(&Name::new("reg.example:5000", "team/app")), "reg.example:5000");
        assert_eq!(request(&Name::new("docker.io", "library/nginx")), "https://index.docker.io/v1/");
    }

    #[test]
    fn a_login_is_a_password_or_an_identity_token_for_its_host() {
        let name = Name::new("reg.example", "app");
        let found = |text: &str| {
            let answer = read(text.as_bytes(), &name)?;
            assert_eq!(answer.keyring.matching("other.example", "app").count(), 0);
            Ok::<_, String>(answer.keyring.matching("reg.example", "any").next().cloned())
        };
        let password = found(r#"{"ServerURL": "reg.example", "Username": "u", "Secret": "p"}"#).unwrap().unwrap();
        assert_eq!(password.basic().unwrap(), "Basic dTpw");
        let token = found(r#"{"ServerURL": "reg.example", "Username": "<token>", "Secret": "t"}"#).unwrap().unwrap();
        assert_eq!(token.identity_token().map(ExposeSecret::expose_secret), Some("t"));
        assert_eq!(found("hunter2").unwrap_err(), "broken JSON at line 1 column 1");
        assert!(found(r#"{"ServerURL": "reg.example"}"#).unwrap_err().starts_with("a value of the wrong type"));
    }

    #[test]
    fn not_to_know_a_server_is_no_failure() {
        assert!(is_unknown(b"credentials not found in native keychain\n"));
        assert!(!is_unknown(b"error getting credentials - err: exit status 1"));
    }
}

//! The kubelet's credential provider API: a request on standard input, a response on standard output.
//!
//! # Source
//! Kubernetes 1.36, `k8s.io/kubelet/pkg/apis/credentialprovider` and `pkg/credentialprovider/plugin/plugin.go`.

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    Answer,
    memory::{Name, Reach},
};
use crate::{
    config::{ProviderVersion as Version, go_duration},
    registry::credentials::{credential::Credential, docker, keyring::Keyring, scope::Scope},
};

/// The request for `name`'s credentials, in the version that the provider speaks.
pub(super) fn request(version: Version, name: &Name) -> String {
    let request = Request { kind: "CredentialProviderRequest", api_version: version.as_str(), image: name.text() };
    serde_json::to_string(&request).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    kind: &'a str,
    api_version: &'a str,
    image: &'a str,
}

/// Reads a response; one that does not say how long it is good is good for `default`.
///
/// # Errors
/// What is wrong, without any of the text: it holds passwords.
pub(super) fn read(text: &[u8], version: Version, default: Duration) -> Result<Answer, String> {
    let response: Response = docker::read(text)?;
    if response.kind != "CredentialProviderResponse" {
        return Err("its `kind` is not `CredentialProviderResponse`".to_owned());
    }
    if response.api_version != version.as_str() {
        return Err(format!("its `apiVersion` is not `{}`", version.as_str()));
    }
    let reach = match response.cache_key_type.as_str() {
        "Image" => Reach::Image,
        "Registry" => Reach::Registry,
        "Global" => Reach::Global,
        _ => return Err("its `cacheKeyType` is not `Image`, `Registry` or `Global`".to_owned()),
    };
    let good = response.cache_duration.as_deref().map_or(Some(default), go_duration);
    let good = good.ok_or("its `cacheDuration` is no duration, as in `5m0s`")?;
    let mut keyring = Keyring::default();
    for (server, login) in response.auth.unwrap_or_default() {
        // A key that is no host is passed over, as the kubelet does.
        if let Ok(scope) = Scope::parse_server(&server) {
            keyring.insert(scope, Credential::password(login.username, login.password));
        }
    }
    Ok(Answer { reach, keyring, good })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    kind: String,
    api_version: String,
    cache_key_type: String,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, Login>>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: SecretString,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Duration = Duration::from_secs(7);

    fn response(rest: &str) -> String {
        let kind = r#""kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1""#;
        format!("{{{kind}, {rest}}}")
    }

    #[track_caller]
    fn check(text: &str, image: (&str, &str), want: Result<(Reach, u64, &[&str]), &str>) {
        let got = read(text.as_bytes(), Version::V1, DEFAULT).map(|answer| {
            let found = answer.keyring.matching(image.0, image.1).map(|found| found.basic().unwrap());
            let found: Vec<_> = found.map(|header| header.to_str().unwrap().to_owned()).collect();
            (answer.reach, answer.good.as_secs(), found)
        });
        let want = want.map(|(reach, good, found)| (reach, good, found.iter().map(|&text| text.to_owned()).collect()));
        assert_eq!(got, want.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_request_is_what_the_kubelet_writes() {
        let name = Name::new("reg.example:5000", "team/app");
        let want = r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"reg.example:5000/team/app"}"#;
        assert_eq!(request(Version::V1, &name), want);
        assert!(request(Version::V1Beta1, &name).contains("kubelet.k8s.io/v1beta1\""));
    }

    #[test]
    fn a_response_gives_credentials_longest_match_first() {
        let auth = r#""auth": {
            "reg.example": {"username": "AWS", "password": "p"}, "reg.example/team": {"username": "t", "password": ""},
            "*.example": {"password": "p"}, "a b": {"username": "x", "password": "y"}
        }"#;
        let text = response(&format!(r#""cacheKeyType": "Registry", "cacheDuration": "6h0m0s", {auth}"#));
        let found = ["Basic dDo=", "Basic QVdTOnA=", "Basic OnA="];
        check(&text, ("reg.example", "team/app"), Ok((Reach::Registry, 21_600, &found)));
        check(&text, ("other.example", "app"), Ok((Reach::Registry, 21_600, &["Basic OnA="])));
        check(&text, ("elsewhere", "app"), Ok((Reach::Registry, 21_600, &[])));
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        check(&response(r#""cacheKeyType": "Image""#), ("r", "a"), Ok((Reach::Image, 7, &[])));
        let nulls = r#""cacheKeyType": "Global", "cacheDuration": null, "auth": null"#;
        check(&response(nulls), ("r", "a"), Ok((Reach::Global, 7, &[])));
        check(&response(r#""cacheKeyType": "Global", "cacheDuration": "0s""#), ("r", "a"), Ok((Reach::Global, 0, &[])));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let wrong = |text: &str, want| check(text, ("r", "a"), Err(want));
        wrong("hunter2", "broken JSON at line 1 column 1");
        wrong(
            &response(r#""cacheKeyType": "Image", "auth": {"r": "hunter2"}"#),
            "a value of the wrong type at line 1 column 141",
        );
        wrong(&response(r#""cacheKeyType": "hunter2""#), "its `cacheKeyType` is not `Image`, `Registry` or `Global`");
        wrong(
            &response(r#""cacheKeyType": "Image", "cacheDuration": "hunter2""#),
            "its `cacheDuration` is no duration, as in `5m0s`",
        );
        wrong(
            r#"{"kind": "hunter2", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "cacheKeyType": "Image"}"#,
            "its `kind` is not `CredentialProviderResponse`",
        );
        wrong(
            r#"{"kind": "CredentialProviderResponse", "apiVersion": "hunter2", "cacheKeyType": "Image"}"#,
            "its `apiVersion` is not `credentialprovider.kubelet.k8s.io/v1`",
        );
        wrong(&response(r#""cacheDuration": "1s""#), "a value of the wrong type at line 1 column 115");
    }
}

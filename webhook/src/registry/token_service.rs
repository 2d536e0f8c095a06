//! What is said to a token service, and what it answers.
//!
//! # Source
//! `distribution/distribution`, "Token Authentication Specification" and its part "Oauth2 Token Authentication".

use std::time::Duration;

use http::HeaderValue;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::challenge::Bearer;

/// What a token is asked for: pulling from one repository, and nothing else.
///
/// The scope in the registry's challenge is not taken. A hostile registry could ask by it for what another repository
/// holds, or for more than pulling, and would be handed the token. Docker asks for its own scope as well, so a registry
/// that Docker pulls from knows this one; containerd asks for both.
fn scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

impl Bearer {
    /// The question to the token service at `url` by `GET`, for pulling from `repository`.
    pub(super) fn question(&self, mut url: Url, repository: &str) -> Url {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &scope(repository));
        drop(query);
        url
    }

    /// The form by which an `OAuth2` refresh token is exchanged for a token, for pulling from `repository`.
    pub(super) fn exchange(&self, refresh_token: &SecretString, repository: &str) -> SecretString {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", self.service.as_deref().unwrap_or_default());
        form.append_pair("client_id", "berth");
        form.append_pair("scope", &scope(repository));
        form.append_pair("refresh_token", refresh_token.expose_secret());
        form.finish().into()
    }
}

/// A token, as its service gave it.
#[derive(Debug)]
pub(super) struct Token {
    /// `Authorization`, marked sensitive.
    pub(super) header: HeaderValue,
    /// For how long it is used.
    pub(super) good: Duration,
    /// What replaces the refresh token that it was exchanged for.
    pub(super) replacement: Option<SecretString>,
}

impl Token {
    /// Reads a token service's answer: `token` or `access_token`, good for 60 s by default.
    ///
    /// `issued_at` is not read. It is told by a clock that need not agree with ours, and a token that ends early costs
    /// no more than a 401 and another one.
    ///
    /// # Errors
    /// What is wrong, without any of its text.
    pub(super) fn read(body: &[u8]) -> Result<Self, &'static str> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| "its token service gave no JSON with a token")?;
        let filled = |text: Option<SecretString>| text.filter(|text| !text.expose_secret().is_empty());
        let token = filled(answer.token).or_else(|| filled(answer.access_token));
        let token = token.ok_or("its token service gave an empty token")?;
        let visible = token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::try_from(["Bearer ", token.expose_secret()].concat()).ok().filter(|_| visible);
        let mut header = header.ok_or("its token service gave a token with strange characters")?;
        header.set_sensitive(true);
        let good = answer
            .expires_in
            .filter(|seconds| *seconds > 0.0)
            .map_or(DEFAULT, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST));
        let good = good.saturating_sub((good / 4).min(SKEW));
        Ok(Self { header, good, replacement: filled(answer.refresh_token) })
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<f64>,
    refresh_token: Option<SecretString>,
}

/// How long a token is good whose answer does not say.
const DEFAULT: Duration = Duration::from_secs(60);
/// How long a token is good at most, whatever its answer says.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long before its end a token is no longer used, at most.
const SKEW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, want: Result<(&str, u64), &str>) {
        let got = Token::read(body.as_bytes());
        assert!(got.as_ref().is_ok_and(|token| token.header.is_sensitive()) || want.is_err());
        let got = got.as_ref().map(|token| (token.header.to_str().unwrap(), token.good.as_secs()));
        assert_eq!(got.map_err(|error| *error), want, "body: {body}");
    }

    #[test]
    fn a_token_has_either_name_and_an_end() {
        check(r#"{"token":"abc"}"#, Ok(("Bearer abc", 45)));
        check(r#"{"access_token":"abc","expires_in":300}"#, Ok(("Bearer abc", 270)));
        check(r#"{"token":"","access_token":"abc","expires_in":20}"#, Ok(("Bearer abc", 15)));
        check(r#"{"token":"abc","access_token":"other","issued_at":"now"}"#, Ok(("Bearer abc", 45)));
        check(r#"{"token":"abc","expires_in":1e300}"#, Ok(("Bearer abc", 3570)));
        check(r#"{"token":"abc","expires_in":-5}"#, Ok(("Bearer abc", 45)));
        check(r#"{"token":null}"#, Err("its token service gave an empty token"));
        check(r#"{"token":"a\r\nX-Evil: 1"}"#, Err("its token service gave a token with strange characters"));
        check(r#"{"token":"a b"}"#, Err("its token service gave a token with strange characters"));
        check("<html>", Err("its token service gave no JSON with a token"));
        check(r#"{"token":5}"#, Err("its token service gave no JSON with a token"));
    }

    #[test]
    fn json_may_be_as_deep_as_it_likes() {
        let deep = |known: &str| format!(r#"{{"{known}":{}{},"token":"abc"}}"#, "[".repeat(60_000), "]".repeat(60_000));
        assert!(Token::read(deep("token").as_bytes()).is_err());
        assert!(Token::read(deep("unknown").as_bytes()).is_ok(), "what is not read is skipped without recursion");
        assert!(Token::read("[".repeat(128 * 1024).as_bytes()).is_err());
    }

    fn bearer(service: Option<&str>) -> Bearer {
        Bearer { realm: String::new(), service: service.map(str::to_owned) }
    }

    #[test]
    fn the_question_keeps_the_realms_query_and_says_what_for() {
        let url: Url = "https://auth.example/token?account=x".parse().unwrap();
        let want = "https://auth.example/token?account=x&service=reg+%26+co&scope=repository%3Ateam%2Fapp%3Apull";
        assert_eq!(bearer(Some("reg & co")).question(url.clone(), "team/app").as_str(), want);
        let want = "https://auth.example/token?account=x&scope=repository%3Aa%3Apull";
        assert_eq!(bearer(None).question(url, "a").as_str(), want);
    }

    #[test]
    fn a_refresh_token_is_exchanged_by_a_form() {
        let form = bearer(Some("reg")).exchange(&"a&b=c".into(), "team/app");
        let want = "grant_type=refresh_token&service=reg&client_id=berth&scope=repository%3Ateam%2Fapp%3Apull&refresh_token=a%26b%3Dc";
        assert_eq!(form.expose_secret(), want);
        let answer = r#"{"access_token":"abc","refresh_token":"hunter2"}"#;
        let token = Token::read(answer.as_bytes()).unwrap();
        assert_eq!(token.replacement.as_ref().map(ExposeSecret::expose_secret), Some("hunter2"));
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}

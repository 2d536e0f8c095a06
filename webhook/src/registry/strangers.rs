//! Doors for the fuzz targets: what reads strangers' text, and is private otherwise.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE, header::WWW_AUTHENTICATE};
use reqwest::Url;

use super::{
    answer,
    challenge::Challenge,
    credentials::{Language, Name},
    token_service::Token,
};
use crate::{config::ProviderVersion, image::Digest};

/// The token service that a registry with TLS names in its challenge, with the question to it.
pub fn token_service(challenge: &[u8]) -> Option<String> {
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_bytes(challenge).ok()?)]);
    let Some(Challenge::Bearer(bearer)) = Challenge::choose(&headers) else { return None };
    let endpoint = Url::parse("https://reg.example").ok()?;
    Some(bearer.question(bearer.service_url(&endpoint).ok()?, "app").into())
}

/// The header that a token service's answer gives.
pub fn token(body: &[u8]) -> Option<String> {
    Token::read(body).ok()?.header.to_str().map(str::to_owned).ok()
}

/// The digest that a manifest's headers give.
///
/// # Errors
/// What is wrong with them.
pub fn manifest_headers(digest: &[u8], kind: &[u8]) -> Result<Option<Digest>, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in [(answer::DIGEST, digest), (CONTENT_TYPE, kind)] {
        if !value.is_empty() {
            headers.insert(name, HeaderValue::from_bytes(value).map_err(|error| error.to_string())?);
        }
    }
    answer::is_manifest(&headers)?;
    answer::digest(&headers, None)
}

/// How a provider's answer is shown, or what is wrong with it: as a kubelet's plugin, and as a program of Docker's.
pub fn provider(answer: &[u8]) -> [Result<String, String>; 2] {
    let (version, default_duration) = (ProviderVersion::V1, Duration::from_secs(60));
    let name = Name::new("reg.example", "app");
    [Language::Kubelet { version, default_duration }, Language::Docker]
        .map(|language| language.read(answer, &name).map(|answer| format!("{answer:?}")))
}

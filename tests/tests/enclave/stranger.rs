//! A stranger's registry at public addresses, which would have Berth talk to others.

use std::net::IpAddr;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

/// Where it is.
pub(crate) fn addresses() -> [IpAddr; 2] {
    ["8.8.8.8", "2001:4860:4860::8888"].map(|address| address.parse().unwrap())
}

/// The digest of everything that it has.
pub(crate) const DIGEST: &str = "sha256:5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592";

/// It has every image, but `redirect-N` and `realm-N` are elsewhere: at the `targets`' N.
pub(crate) fn router(targets: Vec<String>) -> Router {
    Router::new().fallback(async move |uri: Uri| answer(&uri, &targets))
}

fn answer(uri: &Uri, targets: &[String]) -> Response {
    let name = uri.path().trim_start_matches("/v2/").split('/').next().unwrap_or_default();
    let target = |prefix: &str| name.strip_prefix(prefix).map(|number| &targets[number.parse::<usize>().unwrap()]);
    let mut headers = HeaderMap::new();
    let mut put = |name, value: &str| drop(headers.insert(name, HeaderValue::from_str(value).unwrap()));
    let status = if let Some(target) = target("redirect-") {
        put(header::LOCATION, &[target, uri.path()].concat());
        StatusCode::TEMPORARY_REDIRECT
    } else if let Some(target) = target("realm-") {
        put(header::WWW_AUTHENTICATE, &format!("Bearer realm=\"{target}/token\",service=\"stranger\""));
        StatusCode::UNAUTHORIZED
    } else {
        put(header::CONTENT_TYPE, "application/vnd.oci.image.index.v1+json");
        put(header::HeaderName::from_static("docker-content-digest"), DIGEST);
        StatusCode::OK
    };
    (status, headers).into_response()
}

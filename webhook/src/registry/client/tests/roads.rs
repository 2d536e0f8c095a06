//! Where the client goes: redirects, addresses, TLS.

use std::time::{Duration, SystemTime};

use berth_cert_manager::{Authority, Leaf};

use super::{
    ask, client, registry,
    stranger::{Stranger, challenge, manifest, redirect},
    with_credentials,
};
use crate::{
    config::{self, Config},
    registry::{Client, ClientError},
    telemetry::Metrics,
};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const IMAGE: &str = "reg.example/app:v1";

/// S10.
#[tokio::test]
async fn a_redirect_loop_ends() {
    let stranger = Stranger::answering(|request| redirect(request.uri.path())).await;
    let told = ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await;
    assert_eq!(told, Err("reg.example gave a bad answer (check it, and proxies): more than 3 redirects".to_owned()));
    assert_eq!(stranger.lines().len(), 4);
}

/// S10.
#[tokio::test]
async fn a_redirect_is_followed_without_credentials() {
    let other = Stranger::answering(|_| manifest(Some(DIGEST))).await;
    let location = format!("{}/elsewhere", other.url());
    let stranger = Stranger::answering(move |request| match request.headers.get("authorization") {
        None => challenge("Basic realm=\"x\""),
        Some(_) => redirect(&location),
    })
    .await;
    let hosts = [("reg.example", &*stranger.url()), ("other.example", &other.url())];
    let told = ask(&client(&hosts, &[("reg.example", "user:hunter2")]), IMAGE).await;
    assert_eq!(told, Ok(DIGEST.to_owned()));
    assert_eq!(stranger.authorizations(), [None, Some("Basic dXNlcjpodW50ZXIy".to_owned())]);
    assert_eq!((other.lines(), other.authorizations()), (vec!["HEAD /elsewhere".to_owned()], vec![None]));
}

/// S11.
#[tokio::test]
async fn a_challenge_from_where_a_redirect_leads_is_not_answered() {
    let other = Stranger::answering(|_| challenge("Basic realm=\"x\"")).await;
    let location = format!("{}/elsewhere", other.url());
    let stranger = Stranger::answering(move |_| redirect(&location)).await;
    let hosts = [("reg.example", &*stranger.url()), ("other.example", &other.url())];
    let told = ask(&client(&hosts, &[("reg.example", "user:hunter2")]), IMAGE).await.unwrap_err();
    assert!(told.ends_with("it redirects to 127.0.0.1, which wants credentials"), "{told}");
    assert_eq!(other.authorizations(), [None]);
}

#[tokio::test]
async fn a_redirect_leads_nowhere_inside() {
    let inside = Stranger::answering(|_| manifest(Some(DIGEST))).await;
    let host = inside.url().replace("http://", "");
    let literal = format!("add {host} to `registries` if you mean it: 127.0.0.1 is a loopback address");
    for (location, reason) in [
        (inside.url(), literal.as_str()),
        (
            "https://169.254.169.254/latest".to_owned(),
            "add 169.254.169.254 to `registries` if you mean it: 169.254.169.254 is a metadata address",
        ),
        ("https://localhost/".to_owned(), "add localhost to `registries` if you mean it: it is a local name"),
        (
            "http://example.com/".to_owned(),
            "add example.com to `registries` if you mean it: other hosts are not asked over plain http",
        ),
        ("https://user:pw@example.com/".to_owned(), "it redirects to what is no address"),
        ("http://".to_owned(), "it redirects to what is no address"),
        ("file:///etc/passwd".to_owned(), "it redirects from http to file"),
    ] {
        let stranger = Stranger::answering(move |_| redirect(&location)).await;
        let told = ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await.unwrap_err();
        assert!(told.contains(reason), "{told}");
    }
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn hosts_that_are_not_configured_are_public_or_not_asked() {
    let client = client(&[], &[]);
    for (image, reason) in [
        ("10.0.0.1/app", "add 10.0.0.1 to `registries` if you mean it: 10.0.0.1 is a private address"),
        ("0x7f.1/app", "add 127.0.0.1 to `registries` if you mean it: 127.0.0.1 is a loopback address"),
        ("[::1]/app", "add [::1] to `registries` if you mean it: ::1 is a loopback address"),
        ("localhost/app", "add localhost to `registries` if you mean it: it is a local name"),
        ("localhost:5001/app", "add localhost:5001 to `registries` if you mean it: it is a local name"),
        (
            "reg.example:5001/app",
            "add reg.example:5001 to `registries` if you mean it: other hosts are asked at port 443 only",
        ),
    ] {
        let told = ask(&client, image).await.unwrap_err();
        assert!(told.ends_with(reason), "{told}");
    }
}

#[tokio::test]
async fn a_registry_is_asked_at_its_endpoint_and_below_its_path() {
    let stranger = Stranger::answering(|_| manifest(Some(DIGEST))).await;
    let hosts = [
        ("localhost:30500", format!("{}/", stranger.url())),
        ("*.mirror.example", format!("{}/proxy", stranger.url())),
    ];
    let client = client(&hosts.each_ref().map(|(host, endpoint)| (*host, endpoint.as_str())), &[]);
    assert!(ask(&client, "localhost:30500/easy-kanban").await.is_ok());
    assert!(ask(&client, "a.mirror.example/nginx:1").await.is_ok());
    assert_eq!(stranger.lines(), ["HEAD /v2/easy-kanban/manifests/latest", "HEAD /proxy/v2/nginx/manifests/1"]);
    assert_eq!(stranger.seen()[0].host, Some(stranger.address.to_string()));
}

#[tokio::test]
async fn a_refused_connection_is_told_in_words() {
    let told = ask(&client(&[("reg.example", "http://127.0.0.1:1")], &[]), IMAGE).await;
    assert_eq!(told, Err("reg.example: connection refused: see if it runs".to_owned()));
}

fn authority() -> Authority {
    Authority::issue("test", SystemTime::now(), Duration::from_secs(86_400)).unwrap()
}

fn leaf(authority: &Authority, name: &str) -> Leaf {
    authority.issue_leaf(&[name.to_owned()], SystemTime::now(), Duration::from_secs(3600)).unwrap()
}

/// Asks a registry with the certificate `leaf`, trusting `trusted`, or everybody.
async fn over_tls(leaf: &Leaf, trusted: Option<&Authority>, insecure: bool) -> Result<String, String> {
    let stranger = Stranger::over_tls(leaf, |_| manifest(Some(DIGEST))).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = trusted.map(|authority| {
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, authority.certificate_pem()).unwrap();
        file
    });
    let endpoint = format!("https://127.0.0.1:{}", stranger.address.port());
    let entry = config::Registry { ca_file, insecure_skip_verify: insecure, ..registry("reg.example", &endpoint) };
    ask(&with_credentials(vec![entry], &[]), IMAGE).await
}

/// S17.
#[tokio::test]
async fn a_certificate_is_verified_against_its_own_authority_only() {
    let (ours, other) = (authority(), authority());
    let good = leaf(&ours, "127.0.0.1");
    assert_eq!(over_tls(&good, Some(&ours), false).await, Ok(DIGEST.to_owned()));
    assert_eq!(over_tls(&good, None, true).await, Ok(DIGEST.to_owned()));
    let unknown = "reg.example: unknown certificate authority: add `caFile`";
    assert_eq!(over_tls(&good, None, false).await, Err(unknown.to_owned()));
    let told = over_tls(&good, Some(&other), false).await.unwrap_err();
    assert!(told.starts_with("reg.example: ") && told.contains("certificate"), "{told}");
    let told = over_tls(&leaf(&ours, "other.example"), Some(&ours), false).await.unwrap_err();
    assert!(told.ends_with("certificate of another host: see `endpoint`"), "{told}");
}

#[tokio::test]
async fn a_redirect_from_tls_stays_with_tls() {
    let plain = Stranger::answering(|_| manifest(Some(DIGEST))).await;
    let (ours, location) = (authority(), plain.url());
    let stranger = Stranger::over_tls(&leaf(&ours, "127.0.0.1"), move |_| redirect(&location)).await;
    let endpoint = format!("https://127.0.0.1:{}", stranger.address.port());
    let entry = config::Registry { insecure_skip_verify: true, ..registry("reg.example", &endpoint) };
    let told = ask(&with_credentials(vec![entry, registry("plain.example", &plain.url())], &[]), IMAGE).await;
    assert!(told.unwrap_err().ends_with("it redirects from https to http"));
    assert!(plain.seen().is_empty());
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let broken = |registry: config::Registry| {
        let config = Config { registries: vec![registry], ..Config::default() };
        Client::new(&config, Metrics::default().into()).unwrap_err()
    };
    for endpoint in ["reg.example:5000", "ftp://reg.example", "https://user@reg.example", "https://reg.example?x=y", ""]
    {
        let error = broken(registry("reg.example", endpoint));
        assert!(matches!(&error, ClientError::Endpoint { .. }), "{endpoint}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.crt");
    let entry = config::Registry { ca_file: Some(ca_file.clone()), ..registry("reg.example", "https://reg.example") };
    assert!(matches!(broken(entry.clone()), ClientError::Unreadable { .. }));
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&ca_file, text).unwrap();
        let error = broken(entry.clone());
        assert!(matches!(&error, ClientError::NoCertificates { .. }), "{text}: {error}");
    }
}

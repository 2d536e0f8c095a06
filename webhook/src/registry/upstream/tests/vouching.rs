//! Who vouches for a registry, and Berth for itself.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa};
use tempfile::TempDir;

use super::{
    server::{Authority, Issued, Server},
    *,
};

/// What a registry at loopback, described as `entry` says, answers to a question, in words.
async fn told(server: &Server, entry: config::Registry) -> Result<u16, String> {
    let endpoint = format!("https://127.0.0.1:{}", server.address.port());
    let upstreams = upstreams(&[config::Registry { endpoint: Some(endpoint), ..entry }]);
    let upstream = upstreams.of("reg.example").map_err(|refusal| refusal.to_string())?;
    let answer = upstream.http.head(upstream.endpoint).send().await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| cause(&error))
}

fn file(folder: &TempDir, name: &str, pem: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, pem).unwrap();
    path
}

fn trusting(folder: &TempDir, authority: &Authority) -> config::Registry {
    config::Registry {
        ca_file: Some(file(folder, "ca.crt", &authority.certificate.pem())),
        ..entry("reg.example", None)
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_told_in_words() {
    let (folder, ours, other) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let unknown = Err("unknown certificate authority: add `caFile`");
    for (what, issued, want) in [
        ("good", ours.issue("127.0.0.1", |_| {}), Ok(200)),
        (
            "expired",
            ours.issue("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)),
            Err("its certificate has expired: renew it"),
        ),
        (
            "early",
            ours.issue("127.0.0.1", |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1)),
            Err("its certificate is not valid yet: see clocks"),
        ),
        ("for another host", ours.issue("other.example", |_| {}), Err("certificate of another host: see `endpoint`")),
        ("of another authority", other.issue("127.0.0.1", |_| {}), unknown),
        ("of nobody", Issued::by_itself("127.0.0.1", |_| {}), unknown),
        ("of nobody, as an authority's", Issued::by_itself("127.0.0.1", |params| params.is_ca = AUTHORITY), unknown),
    ] {
        let server = Server::registry(Some(issued.server(None))).await;
        let got = told(&server, trusting(&folder, &ours)).await;
        assert_eq!(got.as_ref().map_err(String::as_str).copied(), want, "certificate: {what}");
        assert_eq!(server.lines().len(), usize::from(want.is_ok()), "certificate: {what}");
        let insecure = config::Registry { insecure_skip_verify: true, ..entry("reg.example", None) };
        assert_eq!(told(&server, insecure).await, Ok(200), "certificate: {what}");
        if what != "good" {
            let bare = told(&server, entry("reg.example", None)).await;
            assert!(bare.is_err(), "certificate: {what}");
        }
    }
}

/// What `openssl req -x509` writes into a certificate, whatever it is for.
const AUTHORITY: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

#[tokio::test]
async fn a_certificate_that_stands_in_the_file_needs_nobody_else() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let listing = |issued: &Issued| config::Registry {
        ca_file: Some(file(&folder, "ca.crt", &(authority.certificate.pem() + &issued.certificate.pem()))),
        ..entry("reg.example", None)
    };
    for is_ca in [AUTHORITY, IsCa::ExplicitNoCa, IsCa::NoCa] {
        let made = |name: &str, change: fn(&mut CertificateParams)| {
            Issued::by_itself(name, |params| {
                params.is_ca = is_ca;
                change(params);
            })
        };
        let other = made("127.0.0.1", |_| {});
        for (what, issued, want) in [
            ("good", made("127.0.0.1", |_| {}), Ok(200)),
            (
                "expired",
                made("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)),
                Err("its certificate has expired: renew it"),
            ),
            (
                "early",
                made("127.0.0.1", |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1)),
                Err("its certificate is not valid yet: see clocks"),
            ),
            ("for another host", made("other.example", |_| {}), Err("certificate of another host: see `endpoint`")),
        ] {
            let server = Server::registry(Some(issued.server(None))).await;
            let got = told(&server, listing(&issued)).await;
            assert_eq!(got.as_ref().map_err(String::as_str).copied(), want, "certificate: {what}, {is_ca:?}");
            let unlisted = told(&server, listing(&other)).await;
            assert!(unlisted.is_err(), "certificate: {what}, {is_ca:?}");
            assert_eq!(server.lines().len(), usize::from(want.is_ok()), "certificate: {what}, {is_ca:?}");
        }
        let impostor = Issued { certificate: made("127.0.0.1", |_| {}).certificate, key: other.key };
        let server = Server::registry(Some(impostor.server(None))).await;
        assert!(told(&server, listing(&impostor)).await.is_err() && server.lines().is_empty(), "{is_ca:?}");
    }
    // Go asks for no more of one that somebody else has issued.
    let issued = Authority::new().issue("127.0.0.1", |_| {});
    let server = Server::registry(Some(issued.server(None))).await;
    assert_eq!(told(&server, listing(&issued)).await, Ok(200));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_spoils_no_others() {
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new());
    let (broken, good) = ("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n", ours.certificate.pem());
    let server = Server::registry(Some(ours.issue("127.0.0.1", |_| {}).server(None))).await;
    let trusting =
        |pem: &str| config::Registry { ca_file: Some(file(&folder, "ca.crt", pem)), ..entry("reg.example", None) };
    assert_eq!(told(&server, trusting(&[broken, &good].concat())).await, Ok(200));
    let config = Config { registries: vec![trusting(broken)], ..Config::default() };
    assert!(matches!(Upstreams::new(&config), Err(ClientError::NoCertificates { .. })));
}

/// Fatal alert `protocol_version`, as OpenSSL says it; and a hello of TLS 1.1.
const OLD: [&[u8]; 2] = [
    &[21, 3, 1, 0, 2, 2, 70],
    &[
        22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 0x2f, 0,
    ],
];

#[tokio::test]
async fn old_tls_and_none_are_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    for bytes in OLD {
        for entry in
            [trusting(&folder, &ours), config::Registry { insecure_skip_verify: true, ..entry("reg.example", None) }]
        {
            let got = told(&Server::writing(bytes).await, entry).await;
            assert_eq!(got, Err("its TLS is too old: let it speak 1.2 or 1.3".to_owned()));
        }
    }
    let got = told(&Server::writing(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, trusting(&folder, &ours)).await;
    assert_eq!(got, Err("it speaks no TLS: set an http `endpoint`".to_owned()));
}

#[tokio::test]
async fn a_registry_that_wants_a_certificate_gets_one() {
    let (folder, ours, clients, strangers) =
        (tempfile::tempdir().unwrap(), Authority::new(), Authority::new(), Authority::new());
    let server = Server::registry(Some(ours.issue("127.0.0.1", |_| {}).server(Some(&clients)))).await;
    let showing = |authority: &Authority| {
        let issued = authority.issue("berth.example", |_| {});
        config::Registry {
            client_cert_file: Some(file(&folder, "client.crt", &issued.certificate.pem())),
            client_key_file: Some(file(&folder, "client.key", &issued.key.serialize_pem())),
            ..trusting(&folder, &ours)
        }
    };
    assert_eq!(told(&server, showing(&clients)).await, Ok(200));
    let insecure = config::Registry { ca_file: None, insecure_skip_verify: true, ..showing(&clients) };
    assert_eq!(told(&server, insecure).await, Ok(200));
    assert_eq!(server.lines().len(), 2);
    let none = told(&server, trusting(&folder, &ours)).await;
    assert_eq!(none, Err("it wants a certificate: set `clientCertFile`".to_owned()));
    let other = told(&server, showing(&strangers)).await;
    assert_eq!(other, Err("it refuses Berth: renew `clientCertFile`".to_owned()));
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_certificate_of_berths_that_cannot_be_used_is_said_at_the_start() {
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new());
    let (issued, other) = (ours.issue("berth.example", |_| {}), ours.issue("berth.example", |_| {}));
    let (certificate, key) = (issued.certificate.pem(), issued.key.serialize_pem());
    let broken = |certificate: Option<&str>, key: Option<&str>| {
        let path = |name: &str, pem: Option<&str>| match pem {
            Some(pem) => file(&folder, name, pem),
            None => Path::new("/nowhere").join(name),
        };
        let (certificate, key) = (Some(path("c.crt", certificate)), Some(path("c.key", key)));
        let entry =
            config::Registry { client_cert_file: certificate, client_key_file: key, ..entry("reg.example", None) };
        Upstreams::new(&Config { registries: vec![entry], ..Config::default() }).map(drop)
    };
    assert!(broken(Some(&certificate), Some(&key)).is_ok());
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (certificate, key, want) in [
        (None, Some(key.as_str()), "the file /nowhere/c.crt cannot be read"),
        (Some(certificate.as_str()), None, "the file /nowhere/c.key cannot be read"),
        (Some(""), Some(&key), "c.crt holds no certificates in PEM"),
        (Some(&key), Some(&key), "c.crt holds no certificates in PEM"),
        (Some(&certificate), Some(&certificate), "c.key holds no private key in PEM"),
        (Some(&certificate), Some(""), "c.key holds no private key in PEM"),
        (Some(&certificate), Some(&encrypted), "c.key is encrypted; Berth takes a key without a passphrase"),
        (Some(&certificate), Some(old), "c.key is encrypted; Berth takes a key without a passphrase"),
        (Some(&certificate), Some(garbage), "c.key holds a key that Berth cannot use with its certificate"),
        (Some(&certificate), Some(&other.key.serialize_pem()), "c.crt"),
    ] {
        let error = broken(certificate, key).unwrap_err();
        let told = error.to_string();
        assert!(told.ends_with(want), "{told}");
        assert_eq!(matches!(error, ClientError::KeyMismatch { .. }), want == "c.crt", "{told}");
        assert!(!told.contains("BEGIN") && !format!("{error:?}").contains("BEGIN"));
    }
}

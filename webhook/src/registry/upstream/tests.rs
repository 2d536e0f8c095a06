mod leftovers;
mod proxied;
mod server;
mod token_services;
mod vouching;

use super::*;
use crate::{
    config::{Fallback, Resolve, Rule},
    image::Reference,
};

/// Which host `image` would be asked at.
fn asked(upstreams: &Upstreams, image: &str) -> Result<String, String> {
    let image: Reference = image.parse().map_err(|error: crate::image::ParseError| error.to_string())?;
    let upstream = upstreams.of(image.host()).map_err(|refusal| refusal.to_string())?;
    Ok(upstream.endpoint.origin().ascii_serialization())
}

fn entry(host: &str, endpoint: Option<&str>) -> config::Registry {
    let endpoint = endpoint.map(str::to_owned);
    config::Registry { host: host.to_owned(), endpoint, ..config::Registry::default() }
}

fn local(host: &str, endpoint: &str) -> config::Registry {
    config::Registry { local: true, ..entry(host, Some(endpoint)) }
}

fn upstreams(registries: &[config::Registry]) -> Upstreams {
    Upstreams::new(&Config { registries: registries.to_vec(), ..Config::default() }).unwrap()
}

/// Where only these are asked.
fn closed(registries: &[config::Registry]) -> Upstreams {
    let unlisted_registries = UnlistedRegistries::Deny;
    let config = Config { registries: registries.to_vec(), unlisted_registries, ..Config::default() };
    Upstreams::new(&config).unwrap()
}

/// Whether the registry `from` may send Berth to `url`.
fn goes(upstreams: &Upstreams, from: &str, url: &str) -> Result<(), Refusal> {
    let from = upstreams.of(from)?;
    upstreams.client_for(&url.parse().unwrap(), &from).map(drop)
}

#[test]
fn an_image_is_asked_at_the_host_that_it_names() {
    let upstreams = upstreams(&[]);
    for (image, want) in [
        ("nginx", "https://registry-1.docker.io"),
        ("index.docker.io/nginx", "https://registry-1.docker.io"),
        ("ghcr.io/app", "https://ghcr.io"),
        ("GHCR.io/app", "https://ghcr.io"),
        ("ghcr.io:443/app", "https://ghcr.io"),
        ("8.8.8.8/app", "https://8.8.8.8"),
        ("mirror.internal.evil.com/app", "https://mirror.internal.evil.com"),
    ] {
        assert_eq!(asked(&upstreams, image), Ok(want.to_owned()), "image: {image}");
    }
    for image in [
        "ghcr.io:99999/app",
        "ghcr.io:8443/app",
        "ghcr.io:80/app",
        "[abcdef]:443/app",
        "[:::]/app",
        "1.2.3.4.5/app",
        "256.1.1.1/app",
        "Foo/app",
        "localhost/app",
        "localhost:5001/app",
        "registry.svc/app",
        "metadata.google.internal/app",
        "0x7f.1/app",
        "2130706433:443/app",
        "[::ffff:10.0.0.1]/app",
        "[64:ff9b::a00:1]/app",
        "10.0.0.1/app",
        "127.1:443/app",
    ] {
        let told = asked(&upstreams, image);
        assert!(told.is_err(), "image: {image}: {told:?}");
    }
}

#[test]
fn a_configured_host_is_found_exactly_or_by_whole_labels() {
    let upstreams = upstreams(&[
        entry("mirror.internal", Some("http://10.0.0.1:5000")),
        entry("*.team.example", None),
        entry("docker.io", None),
        entry("localhost:30500", Some("http://registry.kube-system.svc:5000")),
    ]);
    for (image, want) in [
        ("mirror.internal/app", "http://10.0.0.1:5000"),
        ("mirror.internal.evil.com/app", "https://mirror.internal.evil.com"),
        ("evil-mirror.internal.example/app", "https://evil-mirror.internal.example"),
        ("a.team.example/app", "https://a.team.example"),
        ("team.example/app", "https://team.example"),
        ("nginx", "https://registry-1.docker.io"),
        ("localhost:30500/app", "http://registry.kube-system.svc:5000"),
        // As where Berth reaches it, it is known too.
        ("registry.kube-system.svc:5000/app", "http://registry.kube-system.svc:5000"),
        ("10.0.0.1:5000/app", "http://10.0.0.1:5000"),
    ] {
        assert_eq!(asked(&upstreams, image), Ok(want.to_owned()), "image: {image}");
    }
    for image in ["localhost:30501/app", "evil-mirror.internal/app", "registry.kube-system.svc/app", "10.0.0.1/app"] {
        assert!(asked(&upstreams, image).is_err(), "image: {image}");
    }
}

#[test]
fn an_address_is_dialled_where_the_configuration_writes_exactly_that() {
    let entries = [
        entry("here.example", Some("http://127.0.0.1:5000")),
        entry("[::1]:5000", None),
        entry("metadata.example", Some("http://169.254.169.254")),
        entry("10.0.0.7:5000", None),
        entry("*.0.0.1", None),
        entry("*.254", None),
    ];
    let upstreams = upstreams(&entries);
    for host in ["here.example", "[::1]:5000", "metadata.example", "10.0.0.7:5000", "127.0.0.1:5000", "10.0.0.1"] {
        assert!(upstreams.of(host).is_ok(), "host: {host}");
    }
    // A pattern writes no address, so a tenant cannot choose one under it.
    for host in ["127.0.0.1", "169.254.169.254"] {
        assert!(matches!(upstreams.of(host), Err(Refusal::Here { .. })), "host: {host}");
    }
    let refused = |url| goes(&upstreams, "here.example", url);
    assert_eq!(refused("http://127.0.0.1:5000/token"), Ok(()));
    assert!(refused("http://127.0.0.1:5001/token").is_err());
    assert!(refused("http://0x7f.1:5000/").is_ok(), "the same address in another spelling");
    assert!(matches!(refused("https://127.0.0.1/"), Err(Refusal::Here { .. })));
}

#[test]
fn the_clusters_own_registry_is_no_way_to_this_machine() {
    for address in
        ["127.0.0.1", "169.254.169.254", "[::1]", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]", "168.63.129.16"]
    {
        let upstreams = upstreams(&[local("localhost:5001", &format!("http://{address}:5000"))]);
        let told = upstreams.of("localhost:5001");
        assert!(matches!(told, Err(Refusal::LocalRegistry { .. })), "address: {address}: {told:?}");
    }
    for inside in ["http://10.96.0.10:5000", "http://kind-registry:5000", "https://registry.svc"] {
        assert!(upstreams(&[local("localhost:5001", inside)]).of("localhost:5001").is_ok(), "{inside}");
    }
}

#[test]
fn a_strangers_registry_does_not_send_berth_inside() {
    let entries = [entry("localhost:30500", Some("http://registry.svc:5000")), entry("harbor.local", None)];
    let upstreams = upstreams(&entries);
    let goes = |from: &str, to: &str| goes(&upstreams, from, to).is_ok();
    assert!(goes("localhost:30500", "http://registry.svc:5000/token"));
    assert!(goes("localhost:30500", "https://localhost:30500/token"));
    assert!(goes("harbor.local", "http://registry.svc:5000/token"));
    assert!(goes("harbor.local", "https://storage.example/blob"));
    assert!(goes("evil.example", "https://storage.example/blob"));
    for from in ["harbor.local", "evil.example"] {
        for url in [
            "http://registry.svc:5001/token",
            "https://10.0.0.1/token",
            "https://0x7f.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://other.svc/",
            "https://localhost/",
            "https://metadata.google.internal/",
            "http://storage.example/",
            "https://storage.example:8443/",
            "https://user@storage.example/",
            "https://１２７.0.0.1/",
            "https://%31%32%37.0.0.1/",
            "https://169.254.43518/",
            "https://[64:ff9b::7f00:1]/",
        ] {
            assert!(!goes(from, url), "{from} to {url}");
        }
    }
    for url in ["http://registry.svc:5000/token", "https://localhost:30500/token", "https://harbor.local/token"] {
        assert!(!goes("evil.example", url), "{url}");
    }
}

/// By name, but through the client that dials public addresses only.
#[test]
fn a_strangers_registry_that_names_a_configured_host_gets_the_public_road() {
    let upstreams = upstreams(&[entry("harbor.example", None)]);
    let url = "https://harbor.example/token".parse().unwrap();
    let client_from = |host| upstreams.client_for(&url, &upstreams.of(host).unwrap()).unwrap();
    let public = upstreams.of("storage.example").unwrap().http;
    assert!(std::ptr::eq(client_from("evil.example"), public));
    assert!(!std::ptr::eq(client_from("harbor.example"), public));
}

#[test]
fn where_unlisted_registries_are_denied_nothing_leads_to_one() {
    let entries = [
        entry("docker.io", None),
        entry("registry.gitlab.com", None),
        entry("registry.k8s.io", None),
        entry("*.pkg.dev", None),
        entry("localhost:30500", Some("http://registry.svc:5000")),
    ];
    let upstreams = closed(&entries);
    let unlisted = |host: &str| Err(Refusal::Unlisted { host: host.to_owned() });
    assert_eq!(upstreams.of("ghcr.io").map(drop), unlisted("ghcr.io"));
    assert_eq!(upstreams.of("8.8.8.8").map(drop), unlisted("8.8.8.8"));
    assert_eq!(goes(&upstreams, "docker.io", "https://auth.docker.io/token"), Ok(()));
    assert_eq!(goes(&upstreams, "registry.gitlab.com", "https://gitlab.com/jwt/auth"), Ok(()));
    assert_eq!(goes(&upstreams, "docker.io", "https://gitlab.com/jwt/auth"), unlisted("gitlab.com"));
    assert_eq!(goes(&upstreams, "docker.io", "https://auth.docker.io:8443/"), unlisted("auth.docker.io:8443"));
    assert_eq!(goes(&upstreams, "docker.io", "https://registry-1.docker.io/v2/"), Ok(()));
    assert_eq!(goes(&upstreams, "docker.io", "https://storage.example/"), unlisted("storage.example"));
    assert_eq!(goes(&upstreams, "registry.k8s.io", "https://europe-west3-docker.pkg.dev/v2/"), Ok(()));
    assert_eq!(goes(&upstreams, "docker.io", "http://registry.svc:5000/token"), Ok(()));
}

#[test]
fn the_host_of_a_mirror_is_configured() {
    let rule = |mirror: &str| Rule {
        source: "docker.io".to_owned(),
        mirror: mirror.to_owned(),
        resolve: Resolve::Source,
        fallback: Fallback::Source,
        pull_secret: None,
        nodes_have_credentials: false,
    };
    let mut config = Config { unlisted_registries: UnlistedRegistries::Deny, ..Config::default() };
    config.mirror.rules = ["harbor.local/hub", "10.0.0.5:5000/hub", "localhost:30500/hub"].map(rule).to_vec();
    let upstreams = Upstreams::new(&config).unwrap();
    for (host, want) in [("harbor.local", true), ("10.0.0.5:5000", true), ("docker.io", false), ("10.0.0.5", false)] {
        assert_eq!(upstreams.of(host).is_ok(), want, "host: {host}");
    }
}

#[test]
fn without_authorities_only_those_are_asked_that_bring_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.crt");
    let lifetime = Duration::from_secs(86_400);
    let authority = berth_cert_manager::Authority::issue("test", std::time::SystemTime::now(), lifetime).unwrap();
    std::fs::write(&ca_file, authority.certificate_pem()).unwrap();
    let registries = vec![
        config::Registry { ca_file: Some(ca_file), ..entry("own.example", None) },
        config::Registry { insecure_skip_verify: true, ..entry("lab.example", None) },
        entry("plain.example", Some("http://registry.svc:5000")),
        entry("bare.example", None),
    ];
    let around = Surroundings {
        names: Arc::new(Names::of_machine(Duration::from_secs(1))),
        proxies: Arc::default(),
        connect_limit: Duration::from_secs(1),
    };
    let config = Config { registries, ..Config::default() };
    let upstreams = Upstreams::within(&config, &around, &Authorities::none()).unwrap();
    for host in ["own.example", "lab.example", "plain.example"] {
        assert!(upstreams.of(host).is_ok(), "host: {host}");
    }
    for host in ["bare.example", "ghcr.io"] {
        let told = upstreams.of(host).unwrap_err().to_string();
        let want = "a `caFile`, or mount certificate authorities: Berth found none on its machine";
        assert_eq!(told, format!("give {host} {want}"));
    }
}

#[test]
fn a_connection_leaves_time_for_another() {
    for (limit, want) in [(3000, 1000), (25_000, 8333), (600, 300), (100, 100)] {
        let got = connect_limit(Duration::from_millis(limit)).as_millis();
        assert_eq!(got, want, "limit: {limit} ms");
    }
}

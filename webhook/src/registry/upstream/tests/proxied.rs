//! Through a proxy.

use super::{
    server::{Authority, Server},
    *,
};
use crate::registry::egress::name_server::{NameServer, Says};

/// The ways of a machine with these variables, whose names `names` looks up.
fn behind(variables: &[(&str, &str)], registries: &[config::Registry], names: Arc<Names>) -> Upstreams {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, text)| String::from(*text));
    let proxies = Arc::new(Proxies::read(variable).unwrap());
    let around = Surroundings { names, proxies, connect_limit: Duration::from_secs(1) };
    let config = Config { registries: registries.to_vec(), ..Config::default() };
    Upstreams::within(&config, &around, &Authorities::of_machine()).unwrap()
}

async fn told(upstreams: &Upstreams, host: &str) -> Result<u16, String> {
    let upstream = upstreams.of(host).map_err(|refusal| refusal.to_string())?;
    let url = upstream.endpoint.join("/v2/app/manifests/v1").unwrap();
    let answer = upstream.http.head(url).send().await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| cause(&error))
}

#[tokio::test]
async fn configured_and_other_hosts_go_through_it_and_it_sees_names_only() {
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new());
    let ca_file = folder.path().join("ca.crt");
    std::fs::write(&ca_file, ours.certificate.pem()).unwrap();
    let registry = Server::registry(Some(ours.issue("reg.corp", |_| {}).server(None))).await;
    let proxy = Server::proxy(Some(registry.address)).await;
    let names = NameServer::answering(|question| match question {
        "proxy.corp. A" => Says::Addresses(&["127.0.0.1"]),
        _ => Says::Nobody,
    })
    .await;
    let url = format!("http://berth:hunter2@proxy.corp:{}", proxy.address.port());
    let entry = config::Registry { ca_file: Some(ca_file), ..entry("reg.corp", None) };
    let upstreams = behind(&[("HTTPS_PROXY", &url)], &[entry], names.names(&[], 1, ""));
    assert_eq!(told(&upstreams, "reg.corp").await, Ok(200));
    // The proxy leads it to a registry without a certificate that the machine's authorities know.
    assert!(told(&upstreams, "ghcr.example").await.unwrap_err().starts_with("unknown certificate authority"));
    assert_eq!(proxy.lines(), ["CONNECT reg.corp:443 HTTP/1.1", "CONNECT ghcr.example:443 HTTP/1.1"]);
    assert!(
        proxy
            .heads()
            .iter()
            .all(|head| head.to_lowercase().contains("proxy-authorization: basic ymvydgg6ahvudgvymg=="))
    );
    assert_eq!(registry.lines(), ["HEAD /v2/app/manifests/v1 HTTP/1.1"]);
    assert!(!registry.heads()[0].to_lowercase().contains("proxy-authorization"));
    assert!(names.asked().iter().all(|question| question.starts_with("proxy.corp.")), "{:?}", names.asked());
    assert!(!format!("{upstreams:?}").contains("hunter2"));
}

#[tokio::test]
async fn addresses_and_local_names_are_not_handed_to_it() {
    let proxy = Server::proxy(None).await;
    let names = NameServer::answering(|_| Says::Nobody).await;
    let url = format!("http://{}", proxy.address);
    let upstreams = behind(&[("https_proxy", &url), ("http_proxy", &url)], &[], names.names(&[], 1, ""));
    for host in
        ["10.0.0.1", "169.254.169.254", "0x7f.1", "[::ffff:10.0.0.1]", "registry.svc", "localhost", "a.internal"]
    {
        assert!(told(&upstreams, host).await.unwrap_err().starts_with("add "), "{host}");
        let stranger = upstreams.of("ghcr.example").unwrap();
        let url = format!("https://{host}/").parse().unwrap();
        assert!(upstreams.client_for(&url, &stranger).is_err(), "{host}");
    }
    assert!(proxy.heads().is_empty() && names.asked().is_empty());
    // It says no, and that is told.
    assert_eq!(told(&upstreams, "ghcr.example").await, Err("tunnel error: unsuccessful".to_owned()));
}

#[tokio::test]
async fn plain_http_has_its_own_and_no_proxy_leaves_out() {
    let proxy = Server::registry(None).await; // it answers by itself
    let inside = Server::registry(None).await;
    let names = NameServer::answering(|question| match question {
        "registry.svc. A" => Says::Addresses(&["10.0.0.9"]),
        _ => Says::Nobody,
    })
    .await;
    let (url, here) = (format!("http://{}", proxy.address), format!("http://{}", inside.address));
    let entries = [entry("reg.corp", Some("http://registry.corp:5000")), entry("here.corp", Some(&here))];
    let variables = [("HTTP_PROXY", &*url), ("NO_PROXY", ".svc")];
    let upstreams = behind(&variables, &entries, names.names(&[], 1, ""));
    assert_eq!(told(&upstreams, "reg.corp").await, Ok(200));
    assert_eq!(proxy.lines(), ["HEAD http://registry.corp:5000/v2/app/manifests/v1 HTTP/1.1"]);
    assert_eq!(told(&upstreams, "here.corp").await, Ok(200));
    assert_eq!((proxy.lines().len(), inside.lines().len()), (1, 1));
}

/// Its name is in an environment variable, not in the configuration.
#[tokio::test]
async fn an_image_that_names_the_proxy_has_no_special_rights() {
    let proxy = Server::proxy(None).await;
    let names = NameServer::answering(|question| match question {
        "proxy.corp. A" => Says::Addresses(&["127.0.0.1"]),
        _ => Says::Nobody,
    })
    .await;
    let url = format!("http://proxy.corp:{}", proxy.address.port());
    let variables = [("HTTPS_PROXY", &*url), ("NO_PROXY", "proxy.corp")];
    let upstreams = behind(&variables, &[], names.names(&[], 1, ""));
    let told_of_port = told(&upstreams, &format!("proxy.corp:{}", proxy.address.port())).await.unwrap_err();
    assert!(told_of_port.ends_with("other hosts are asked at port 443 only"), "{told_of_port}");
    let told_of_name = told(&upstreams, "proxy.corp").await;
    let want = "add proxy.corp to `registries` if you mean it: 127.0.0.1 is a loopback address";
    assert_eq!(told_of_name, Err(want.to_owned()));
    assert!(proxy.heads().is_empty());
}

/// The proxy stands for names that lead to loopback here: both are asked at the same server, whose certificate nobody knows.
#[tokio::test]
async fn a_token_service_is_verified_where_its_registry_is_not() {
    let ours = Authority::new();
    let server = Server::registry(Some(ours.issue("lab.corp", |_| {}).server(None))).await;
    let proxy = Server::proxy(Some(server.address)).await;
    let names = NameServer::answering(|_| Says::Nobody).await;
    let url = format!("http://{}", proxy.address);
    let token_hosts = vec!["auth.corp".to_owned()];
    let lab = config::Registry { insecure_skip_verify: true, token_hosts, ..entry("lab.corp", None) };
    let upstreams = behind(&[("HTTPS_PROXY", &url)], &[lab], names.names(&[], 1, ""));
    assert_eq!(told(&upstreams, "lab.corp").await, Ok(200));
    let token = Url::parse("https://auth.corp/token").unwrap();
    let client = upstreams.client_for(&token, &upstreams.of("lab.corp").unwrap()).unwrap();
    let error = client.get(token).send().await.unwrap_err();
    assert_eq!(cause(&error), "unknown certificate authority: add `caFile`");
    assert_eq!(proxy.lines(), ["CONNECT lab.corp:443 HTTP/1.1", "CONNECT auth.corp:443 HTTP/1.1"]);
    assert_eq!(server.lines().len(), 1);
}

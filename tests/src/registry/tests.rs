use oci_client::{
    Client, Reference,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
};

use super::{push::IMAGE, *};
use crate::token_server::{Manner, User};

/// Another's client: what it understands, is done as it is usually done.
async fn digest_at(registry: &Registry, authority: Option<&Authority>, image: &str) -> Result<String, String> {
    digest_as(registry, authority, image, &RegistryAuth::Anonymous).await
}

async fn digest_as(
    registry: &Registry,
    authority: Option<&Authority>,
    image: &str,
    auth: &RegistryAuth,
) -> Result<String, String> {
    let certificate = |authority: &Authority| Certificate {
        encoding: CertificateEncoding::Pem,
        data: authority.certificate().into_bytes(),
    };
    let client = Client::new(ClientConfig {
        protocol: if authority.is_some() { ClientProtocol::Https } else { ClientProtocol::Http },
        tls_certs_only: authority.map(certificate).into_iter().collect(),
        ..ClientConfig::default()
    });
    let image: Reference = format!("{}/{image}", registry.host()).parse().unwrap();
    let digest = client.fetch_manifest_digest(&image, auth).await;
    digest.map_err(|error| match error {
        OciDistributionError::UnauthorizedError { .. } => "unauthorized".to_owned(),
        OciDistributionError::RequestError(error) => format!("broken: {error:?}"),
        error => error.to_string(),
    })
}

fn known(name: &str, password: &str) -> RegistryAuth {
    RegistryAuth::Basic(name.to_owned(), password.to_owned())
}

#[tokio::test]
async fn a_tag_moves_and_survives_a_restart() {
    let mut registry = Registry::start().await.unwrap();
    let first = registry.push("shop/app", "latest", "first").await.unwrap();
    assert_eq!(digest_at(&registry, None, "shop/app:latest").await.unwrap(), first);
    let second = registry.push_index("shop/app", "latest", "second").await.unwrap();
    assert_ne!(first, second);

    registry.stop();
    assert!(digest_at(&registry, None, "shop/app:latest").await.is_err());
    registry.restart().await.unwrap();
    assert_eq!(digest_at(&registry, None, "shop/app:latest").await.unwrap(), second);
    registry.delete("shop/app", "latest").await.unwrap();
    assert!(digest_at(&registry, None, "shop/app:latest").await.is_err());
}

#[tokio::test]
async fn tls_and_a_password_are_required_where_they_are_chosen() {
    let authority = Authority::new().unwrap();
    let options = Options { authority: Some(&authority), password: true, ..Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    let pushed = registry.push("private", "v1", "secret").await.unwrap();

    let berth = known(USER, PASSWORD);
    for user in [&berth, &known(ECR_USER, ECR_PASSWORD)] {
        assert_eq!(digest_as(&registry, Some(&authority), "private:v1", user).await.unwrap(), pushed);
    }
    assert_eq!(digest_at(&registry, Some(&authority), "private:v1").await.unwrap_err(), "unauthorized");
    assert!(digest_as(&registry, None, "private:v1", &berth).await.is_err());
}

#[tokio::test]
async fn clients_need_a_certificate_where_that_is_chosen() {
    let (authority, clients, others) =
        (Authority::new().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let options = Options { authority: Some(&authority), clients: Some(&clients), ..Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    registry.push("app", "v1", "text").await.unwrap();

    let ask = async |identity: Option<&Authority>| {
        let root = reqwest::Certificate::from_pem(authority.certificate().as_bytes())?;
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        if let Some(authority) = identity {
            let identity = authority.client("somebody", None)?;
            let pem = [identity.certificate, identity.key].concat();
            client = client.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
        }
        let url = format!("{}/v2/app/manifests/v1", registry.endpoint());
        anyhow::Ok(client.build()?.head(url).header("accept", IMAGE).send().await?.status().as_u16())
    };
    assert_eq!(ask(Some(&clients)).await.unwrap(), 200);
    assert!(ask(None).await.is_err());
    assert!(ask(Some(&others)).await.is_err());
}

#[tokio::test]
async fn a_token_is_needed_and_is_for_what_it_says() {
    let users = vec![User::new("alice", "wonder", &["team/*"]), User::new("bob", "builder", &["other"])];
    let tokens = TokenServer::start(None, users, vec!["public/*".parse().unwrap()]).await.unwrap();
    let registry = Registry::start_with(&Options { tokens: Some(&tokens), ..Options::default() }).await.unwrap();
    let private = registry.push("team/app", "v1", "private").await.unwrap();
    let public = registry.push_index("public/app", "v1", "public").await.unwrap();
    assert_eq!(tokens.requests(), [], "the tests push without asking");

    assert_eq!(digest_at(&registry, None, "public/app:v1").await.unwrap(), public);
    let alice = known("alice", "wonder");
    assert_eq!(digest_as(&registry, None, "team/app:v1", &alice).await.unwrap(), private);
    assert_eq!(digest_as(&registry, None, "public/app:v1", &alice).await.unwrap(), public);
    for other in [RegistryAuth::Anonymous, known("bob", "builder"), known("alice", "guess")] {
        assert_eq!(digest_as(&registry, None, "team/app:v1", &other).await.unwrap_err(), "unauthorized");
    }

    let mut who: Vec<_> = tokens.requests().iter().map(|request| (request.user.clone(), request.status)).collect();
    who.dedup();
    let (alice, bob) = (Some("alice".to_owned()), Some("bob".to_owned()));
    assert_eq!(who, [(None, 200), (alice, 200), (None, 200), (bob, 200), (None, 401)]);
}

#[tokio::test]
async fn an_expired_token_and_a_foreign_one_are_refused() {
    let users = || vec![User::new("alice", "wonder", &["*"])];
    let tokens = TokenServer::start(None, users(), Vec::new()).await.unwrap();
    let registry = Registry::start_with(&Options { tokens: Some(&tokens), ..Options::default() }).await.unwrap();
    let digest = registry.push("app", "v1", "text").await.unwrap();
    let alice = known("alice", "wonder");
    assert_eq!(digest_as(&registry, None, "app:v1", &alice).await.unwrap(), digest);

    let foreign = TokenServer::start(None, users(), Vec::new()).await.unwrap();
    let url = format!("{}/v2/app/manifests/v1", registry.endpoint());
    for (token, want) in [(tokens.master().token("app"), 200), (foreign.master().token("app"), 401)] {
        let head =
            reqwest::Client::new().head(&url).header("accept", IMAGE).bearer_auth(token.unwrap()).send().await.unwrap();
        assert_eq!(head.status(), want);
    }
    tokens.behave(Manner { expired: true, ..Manner::default() });
    assert_eq!(digest_as(&registry, None, "app:v1", &alice).await.unwrap_err(), "unauthorized");
}

#[tokio::test]
async fn a_cache_pulls_through_and_keeps_what_it_pulled() {
    for password in [false, true] {
        let mut upstream = Registry::start_with(&Options { password, ..Options::default() }).await.unwrap();
        let digest = upstream.push("shop/app", "v1", "text").await.unwrap();
        let cache = Registry::start_with(&Options { upstream: Some(&upstream), ..Options::default() }).await.unwrap();
        assert!(cache.push("shop/app", "v2", "text").await.is_err());

        let get = reqwest::Client::new().get(format!("{}/v2/shop/app/manifests/v1", cache.endpoint()));
        assert_eq!(get.header("accept", IMAGE).send().await.unwrap().status(), 200);
        let pinned = format!("shop/app@{digest}");
        let asked = upstream.requests().len();
        assert_eq!(digest_at(&cache, None, &pinned).await.unwrap(), digest);
        assert_eq!(upstream.requests().len(), asked, "it has it now");
        upstream.stop();
        assert_eq!(digest_at(&cache, None, &pinned).await.unwrap(), digest);
    }
}

#[tokio::test]
async fn every_request_is_counted_as_soon_as_it_is_answered() {
    let authority = Authority::new().unwrap();
    for authority in [None, Some(&authority)] {
        let registry = Registry::start_with(&Options { authority, ..Options::default() }).await.unwrap();
        registry.push("shop/app", "v1", "text").await.unwrap();
        let roots =
            authority.map(|authority| reqwest::Certificate::from_pem(authority.certificate().as_bytes()).unwrap());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only(roots).build().unwrap();
        let path = "/v2/shop/app/manifests/v1";
        for times in 1..=50 {
            http.head(format!("{}{path}", registry.endpoint())).send().await.unwrap();
            assert_eq!(registry.count("HEAD", path), times);
        }
        assert_eq!(registry.count("GET", path), 0);
        assert_eq!(registry.count("PUT", path), 0, "pushes are the tests' own");
        assert!(registry.requests().iter().any(|request| request.is_push() && request.path == path));
    }
}

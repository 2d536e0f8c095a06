//! The conformance suite over HTTP: with digest headers and without, open and behind tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    http::{Response, request::Parts},
};

use super::{
    Asking, client,
    stranger::{Stranger, challenge, status},
};
use crate::{
    image::{Digest, Reference},
    registry::{Shared, conformance},
};

/// A registry's manifests by path: `/v2/app/manifests/v1`.
#[derive(Clone, Default)]
struct Manifests(Arc<Mutex<HashMap<String, String>>>);

impl Manifests {
    fn answer(&self, request: &Parts, with_header: bool) -> Response<Body> {
        let Some(body) = self.0.lock().unwrap().get(request.uri.path()).cloned() else { return status(404) };
        let digest = with_header.then(|| Digest::of(body.as_bytes()).to_string());
        let answer = Response::builder().header("content-type", "application/vnd.oci.image.manifest.v1+json");
        let answer = digest.into_iter().fold(answer, |answer, digest| answer.header("docker-content-digest", digest));
        answer.body(Body::from(body)).unwrap()
    }
}

fn path(image: &Reference, version: &str) -> String {
    format!("/v2/{}/manifests/{version}", image.path())
}

impl conformance::World for Manifests {
    async fn push(&self, image: &str) -> Digest {
        let mut manifests = self.0.lock().unwrap();
        let image: Reference = image.parse().unwrap();
        let body = format!(r#"{{"schemaVersion":2,"annotations":{{"build":"{}"}}}}"#, manifests.len());
        let digest = Digest::of(body.as_bytes());
        manifests.insert(path(&image, image.tag().unwrap()), body.clone());
        manifests.insert(path(&image, digest.as_str()), body);
        digest
    }

    async fn delete(&self, image: &str) {
        let image: Reference = image.parse().unwrap();
        self.0.lock().unwrap().remove(&path(&image, image.tag().unwrap()));
    }
}

async fn check(with_header: bool, with_tokens: bool) {
    let manifests = Manifests::default();
    let world = manifests.clone();
    let stranger = Stranger::answering(move |request| match request.headers.get("authorization") {
        _ if request.uri.path() == "/token" => Response::new(Body::from(r#"{"token":"abc"}"#)),
        None if with_tokens => {
            challenge(&format!("Bearer realm=\"http://{}/token\"", request.headers["host"].to_str().unwrap()))
        }
        _ => manifests.answer(request, with_header),
    })
    .await;
    let Asking { client, keychain } = client(&[("reg.example", &stranger.url())], &[]);
    conformance::check(&client, &keychain, &world, "reg.example").await;
    let shared = Shared::new(client, std::time::Duration::ZERO);
    conformance::check(&shared, &keychain, &world, "reg.example").await;
}

#[tokio::test]
async fn with_digest_headers() {
    check(true, false).await;
}

#[tokio::test]
async fn without_digest_headers() {
    check(false, false).await;
}

#[tokio::test]
async fn behind_tokens() {
    check(true, true).await;
}

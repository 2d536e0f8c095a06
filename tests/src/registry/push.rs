//! Pushing images, in whatever way the registry is locked.

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::{
    Certificate, Client, Identity, Method, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, LOCATION},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Options, PASSWORD, USER};
use crate::{image::Image, token_server::Master};

/// A client that may do everything.
pub(super) struct Pusher {
    endpoint: String,
    http: Client,
    pass: Pass,
}

/// How the registry knows the pusher.
enum Pass {
    /// Not at all, or by the certificate.
    Nobody,
    Password,
    Tokens(Master),
}

impl Pusher {
    /// For the registry at `endpoint`, which has `options`.
    pub(super) fn new(options: &Options<'_>, endpoint: String) -> anyhow::Result<Self> {
        let mut http = Client::builder().no_proxy().user_agent(AGENT);
        if let Some(authority) = options.authority {
            http = http.tls_certs_only([Certificate::from_pem(authority.certificate().as_bytes())?]);
        }
        if let Some(clients) = options.clients {
            let identity = clients.client("pusher", None)?;
            http = http.identity(Identity::from_pem([identity.certificate, identity.key].concat().as_bytes())?);
        }
        let pass = match (options.password, options.tokens) {
            (_, Some(tokens)) => Pass::Tokens(tokens.master()),
            (true, None) => Pass::Password,
            (false, None) => Pass::Nobody,
        };
        Ok(Self { endpoint, http: http.build()?, pass })
    }

    /// Pushes an image of one platform and returns its digest.
    pub(super) async fn image(&self, repository: &str, tag: &str, text: &str) -> anyhow::Result<String> {
        let manifest = self.blobs(repository, "amd64", text).await?;
        self.manifest(repository, Some(tag), &manifest).await
    }

    /// Pushes an image of two platforms and returns the digest of its index.
    pub(super) async fn index(&self, repository: &str, tag: &str, text: &str) -> anyhow::Result<String> {
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let manifest = self.blobs(repository, architecture, text).await?;
            let digest = self.manifest(repository, None, &manifest).await?;
            manifests.push(json!({
                "mediaType": IMAGE,
                "digest": digest,
                "size": manifest.to_string().len(),
                "platform": { "architecture": architecture, "os": "linux" },
            }));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        self.manifest(repository, Some(tag), &index).await
    }

    /// Pushes an image that runs, and returns its digest.
    pub(super) async fn runnable(&self, repository: &str, tag: &str, image: &Image) -> anyhow::Result<String> {
        let (configuration, layers) = image.blobs();
        let layers: Vec<_> = layers.collect();
        let manifest = self.image_of(repository, configuration, &layers).await?;
        self.manifest(repository, Some(tag), &manifest).await
    }

    /// Removes a tag, or content where `version` is a digest.
    pub(super) async fn delete(&self, repository: &str, version: &str) -> anyhow::Result<()> {
        let url = self.url(repository, &format!("manifests/{version}"))?;
        let deleted = self.send(repository, self.http.request(Method::DELETE, url)).await?;
        ensure!(deleted.status() == 202, "{repository}:{version} is not deleted but {}", deleted.status());
        Ok(())
    }

    /// Pushes layer and configuration, and returns the manifest that names them.
    async fn blobs(&self, repository: &str, architecture: &str, text: &str) -> anyhow::Result<Value> {
        let configuration = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Labels": { "text": text } },
            "rootfs": { "type": "layers", "diff_ids": [digest(text.as_bytes())] },
        });
        self.image_of(repository, configuration.to_string().as_bytes(), &[text.as_bytes()]).await
    }

    /// Pushes configuration and layers, and returns the manifest that names them.
    async fn image_of(&self, repository: &str, configuration: &[u8], layers: &[&[u8]]) -> anyhow::Result<Value> {
        for blob in layers.iter().copied().chain([configuration]) {
            self.blob(repository, blob).await.with_context(|| format!("cannot push a blob to {repository}"))?;
        }
        let part = |kind: &str, blob: &[u8]| json!({ "mediaType": kind, "digest": digest(blob), "size": blob.len() });
        let layer = |blob: &&[u8]| part("application/vnd.oci.image.layer.v1.tar", blob);
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": part("application/vnd.oci.image.config.v1+json", configuration),
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        }))
    }

    async fn blob(&self, repository: &str, blob: &[u8]) -> anyhow::Result<()> {
        let start = self.http.post(self.url(repository, "blobs/uploads/")?);
        let started = self.send(repository, start).await?;
        ensure!(started.status() == 202, "the upload does not start: {}", started.status());
        let location = started.headers().get(LOCATION).context("the upload has no place")?.to_str()?;
        let mut place = started.url().join(location)?;
        place.query_pairs_mut().append_pair("digest", &digest(blob));
        let stored = self.send(repository, self.http.put(place).body(blob.to_vec())).await?;
        ensure!(stored.status() == 201, "the blob is not stored: {}", stored.status());
        Ok(())
    }

    async fn manifest(&self, repository: &str, tag: Option<&str>, manifest: &Value) -> anyhow::Result<String> {
        let body = manifest.to_string();
        let digest = digest(body.as_bytes());
        let kind = manifest.get("mediaType").and_then(Value::as_str).context("a manifest has its mediaType")?;
        let url = self.url(repository, &format!("manifests/{}", tag.unwrap_or(&digest)))?;
        let put = self.http.put(url).header(CONTENT_TYPE, kind).body(body);
        let stored = self.send(repository, put).await.with_context(|| format!("cannot push {repository}"))?;
        let location = stored.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ensure!(stored.status() == 201, "the manifest is not stored: {}", stored.status());
        ensure!(location.ends_with(&digest), "the registry stored {repository} as {location}, not as {digest}");
        Ok(digest)
    }

    async fn send(&self, repository: &str, request: RequestBuilder) -> anyhow::Result<Response> {
        let header = match &self.pass {
            Pass::Nobody => None,
            Pass::Password => Some(format!("Basic {}", BASE64.encode(format!("{USER}:{PASSWORD}")))),
            Pass::Tokens(master) => Some(format!("Bearer {}", master.token(repository)?)),
        };
        let request = header.into_iter().fold(request, |request, header| request.header(AUTHORIZATION, header));
        Ok(request.send().await?)
    }

    fn url(&self, repository: &str, rest: &str) -> anyhow::Result<Url> {
        Ok(format!("{}/v2/{repository}/{rest}", self.endpoint).parse()?)
    }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// How pushes are told from other requests in the registry's log.
pub(super) const AGENT: &str = "berth-tests-pusher";
/// The media type of an image; without it under `Accept`, the registry calls an image unknown.
pub(super) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

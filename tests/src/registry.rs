//! The distribution project's registry, and images to push there.

use std::{path::PathBuf, process::Command, slice, time::Duration};

use anyhow::{Context as _, ensure};
use oci_client::{
    Client, Reference,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

use crate::{
    cluster::free_port,
    pki::Authority,
    processes::{Folder, Process, while_running},
    programs::Program,
    wait::until,
};

/// How a registry is served.
#[derive(Default)]
pub struct Options<'a> {
    /// By TLS, with a certificate for `127.0.0.1` and `localhost` from this authority; plain HTTP without.
    pub authority: Option<&'a Authority>,
    /// Only to [`USER`] with [`PASSWORD`].
    pub password: bool,
}

/// A running registry. It ends when it is dropped, or its owner ends.
pub struct Registry {
    process: Option<Process>,
    program: PathBuf,
    port: u16,
    scheme: &'static str,
    client: Client,
    folder: Folder,
}

impl Registry {
    /// An empty registry, by plain HTTP for everybody.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&Options::default()).await
    }

    /// An empty registry as `options` say.
    pub async fn start_with(options: &Options<'_>) -> anyhow::Result<Self> {
        let program = Program::Registry.path().await?;
        for _ in 1..ATTEMPTS {
            if let Ok(registry) = Self::start_once(options, program.clone()).await {
                return Ok(registry); // else another process took the port, most likely
            }
        }
        Self::start_once(options, program).await
    }

    async fn start_once(options: &Options<'_>, program: PathBuf) -> anyhow::Result<Self> {
        let folder = Folder::new("registry")?;
        let port = free_port()?;
        folder.write("config.json", configuration(options, port, &folder)?.to_string())?;
        let client = client(options);
        let known = || RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned());
        let auth = if options.password { known() } else { RegistryAuth::Anonymous };
        client.store_auth_if_needed(&address(port), &auth).await;
        let scheme = if options.authority.is_some() { "https" } else { "http" };
        let mut registry = Self { process: None, program, port, scheme, client, folder };
        registry.restart().await?;
        Ok(registry)
    }

    /// Host and port, as in an image reference.
    pub fn host(&self) -> String {
        address(self.port)
    }

    /// Scheme, host and port: the `endpoint` of a `registries` entry.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// Pushes an image that differs from others by `text`, and returns its digest. An older image loses the tag.
    pub async fn push(&self, repository: &str, tag: &str, text: &str) -> anyhow::Result<String> {
        let manifest = self.push_blobs(repository, "amd64", text).await?;
        self.push_manifest(repository, Some(tag), &manifest).await
    }

    /// Pushes an image of two platforms, and returns the digest of its index.
    pub async fn push_index(&self, repository: &str, tag: &str, text: &str) -> anyhow::Result<String> {
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let manifest = self.push_blobs(repository, architecture, text).await?;
            let digest = self.push_manifest(repository, None, &manifest).await?;
            manifests.push(json!({
                "mediaType": IMAGE,
                "digest": digest,
                "size": manifest.to_string().len(),
                "platform": { "architecture": architecture, "os": "linux" },
            }));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        self.push_manifest(repository, Some(tag), &index).await
    }

    /// Ends the process; what was pushed stays on disk.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it (again) at the same port, with everything that was pushed before.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        let mut command = Command::new(&self.program);
        command.arg("serve").arg(self.folder.path().join("config.json"));
        let mut process = Process::spawn("registry", &command, self.folder.path())?;
        let address = self.host();
        let accepts = until("the registry accepts connections", START_LIMIT, async || {
            Ok(TcpStream::connect(&address).await.map(drop)?)
        });
        while_running(slice::from_mut(&mut process), accepts).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Pushes layer and configuration, and returns the manifest that names them.
    async fn push_blobs(&self, repository: &str, architecture: &str, text: &str) -> anyhow::Result<Value> {
        let configuration = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Labels": { "text": text } },
            "rootfs": { "type": "layers", "diff_ids": [digest(text.as_bytes())] },
        });
        let configuration = configuration.to_string().into_bytes();
        let image = Reference::with_tag(self.host(), repository.to_owned(), "any".to_owned());
        for blob in [text.as_bytes(), &configuration] {
            let pushed = self.client.push_blob(&image, blob.to_vec(), &digest(blob)).await;
            pushed.with_context(|| format!("cannot push a blob to {repository}"))?;
        }
        let part = |kind: &str, blob: &[u8]| json!({ "mediaType": kind, "digest": digest(blob), "size": blob.len() });
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": part("application/vnd.oci.image.config.v1+json", &configuration),
            "layers": [part("application/vnd.oci.image.layer.v1.tar", text.as_bytes())],
        }))
    }

    async fn push_manifest(&self, repository: &str, tag: Option<&str>, manifest: &Value) -> anyhow::Result<String> {
        let body = manifest.to_string();
        let digest = digest(body.as_bytes());
        let image = match tag {
            Some(tag) => Reference::with_tag(self.host(), repository.to_owned(), tag.to_owned()),
            None => Reference::with_digest(self.host(), repository.to_owned(), digest.clone()),
        };
        let kind = manifest.get("mediaType").and_then(Value::as_str).context("a manifest has its mediaType")?;
        let pushed = self.client.push_manifest_raw(&image, body, kind.parse()?).await;
        let location = pushed.with_context(|| format!("cannot push {image}"))?;
        ensure!(location.ends_with(&digest), "the registry stored {image} as {location}, not as {digest}");
        Ok(digest)
    }
}

/// The registry's configuration; its YAML is a superset of JSON.
fn configuration(options: &Options<'_>, port: u16, folder: &Folder) -> anyhow::Result<Value> {
    let mut http = json!({ "addr": address(port) });
    if let (Some(authority), Some(http)) = (options.authority, http.as_object_mut()) {
        let identity = authority.server(&["127.0.0.1", "localhost"])?;
        let certificate = folder.write("tls.crt", identity.certificate)?;
        let key = folder.write("tls.key", identity.key)?;
        http.insert("tls".to_owned(), json!({ "certificate": certificate, "key": key }));
    }
    let mut configuration = json!({
        "version": 0.1,
        "log": { "level": "info" },
        "storage": { "filesystem": { "rootdirectory": folder.path().join("images") }, "delete": { "enabled": true } },
        "http": http,
    });
    if let (true, Some(configuration)) = (options.password, configuration.as_object_mut()) {
        let path = folder.write("htpasswd", format!("{USER}:{PASSWORD_HASH}\n"))?;
        configuration.insert("auth".to_owned(), json!({ "htpasswd": { "realm": "berth-tests", "path": path } }));
    }
    Ok(configuration)
}

fn client(options: &Options<'_>) -> Client {
    let certificate = |authority: &Authority| Certificate {
        encoding: CertificateEncoding::Pem,
        data: authority.certificate().into_bytes(),
    };
    Client::new(ClientConfig {
        protocol: if options.authority.is_some() { ClientProtocol::Https } else { ClientProtocol::Http },
        tls_certs_only: options.authority.map(certificate).into_iter().collect(),
        ..ClientConfig::default()
    })
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// The one user of a registry with a password.
pub const USER: &str = "berth";
/// The user's password.
pub const PASSWORD: &str = "berth";
/// The same by bcrypt, which is all that the registry reads.
const PASSWORD_HASH: &str = "$2a$04$8ayyPTiMvh2qs3RNY8R5zeBb/dnPh72RHaKMI/8FaZScZhwnsYaJ6";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Starts before a lost race for a port is an error.
const ATTEMPTS: usize = 3;
const START_LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    async fn digest_at(registry: &Registry, image: &str, auth: &RegistryAuth) -> oci_client::errors::Result<String> {
        let image: Reference = format!("{}/{image}", registry.host()).parse().unwrap();
        registry.client.fetch_manifest_digest(&image, auth).await
    }

    #[tokio::test]
    async fn a_tag_moves_and_survives_a_restart() {
        let mut registry = Registry::start().await.unwrap();
        let first = registry.push("shop/app", "latest", "first").await.unwrap();
        assert_eq!(digest_at(&registry, "shop/app:latest", &RegistryAuth::Anonymous).await.unwrap(), first);
        let second = registry.push_index("shop/app", "latest", "second").await.unwrap();
        assert_ne!(first, second);

        registry.stop();
        assert!(digest_at(&registry, "shop/app:latest", &RegistryAuth::Anonymous).await.is_err());
        registry.restart().await.unwrap();
        assert_eq!(digest_at(&registry, "shop/app:latest", &RegistryAuth::Anonymous).await.unwrap(), second);
    }

    #[tokio::test]
    async fn tls_and_a_password_are_required_where_they_are_chosen() {
        let authority = Authority::new().unwrap();
        let options = Options { authority: Some(&authority), password: true };
        let registry = Registry::start_with(&options).await.unwrap();
        let pushed = registry.push("private", "v1", "secret").await.unwrap();

        let known = RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned());
        assert_eq!(digest_at(&registry, "private:v1", &known).await.unwrap(), pushed);
        let stranger = client(&options);
        let image: Reference = format!("{}/private:v1", registry.host()).parse().unwrap();
        let refused = stranger.fetch_manifest_digest(&image, &RegistryAuth::Anonymous).await.unwrap_err();
        assert!(matches!(refused, oci_client::errors::OciDistributionError::UnauthorizedError { .. }), "{refused}");
    }
}

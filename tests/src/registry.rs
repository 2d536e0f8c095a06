//! The distribution project's registry: as bare, as locked or as cached as a test needs it, and images in it.

mod configuration;
mod push;
mod requests;

use std::{path::PathBuf, process::Command, slice, time::Duration};

use tokio::net::TcpStream;

pub use self::requests::Request;
use self::{configuration::configuration, push::Pusher};
use crate::{
    image::Image,
    pki::Authority,
    port::Port,
    processes::{Folder, Process, while_running},
    programs::Program,
    token_server::TokenServer,
    wait::until,
};

/// How a registry is served.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Where it listens, `ADDRESS:PORT`; without, at a free port of `127.0.0.1`.
    pub address: Option<&'a str>,
    /// The name in its certificate besides its address and `localhost`.
    pub name: Option<&'a str>,
    /// By TLS, with a certificate from this authority; plain HTTP without.
    pub authority: Option<&'a Authority>,
    /// Only to clients with a certificate from this authority, which may be the same; needs `authority`.
    pub clients: Option<&'a Authority>,
    /// Only to [`USER`] with [`PASSWORD`], and [`ECR_USER`] with [`ECR_PASSWORD`], by Basic authentication.
    pub password: bool,
    /// Only to whom this service gives a token, by Bearer authentication.
    pub tokens: Option<&'a TokenServer>,
    /// As a pull-through cache of this one; nothing can be pushed or deleted here. Where that one serves TLS, it is by a
    /// certificate from `authority`, too.
    pub upstream: Option<&'a Registry>,
}

/// A running registry. It ends when it is dropped, or its owner ends.
pub struct Registry {
    process: Option<Process>,
    program: PathBuf,
    address: String,
    scheme: &'static str,
    password: bool,
    pusher: Pusher,
    folder: Folder,
    /// Its own also while it is stopped.
    _port: Option<Port>,
}

impl Registry {
    /// An empty registry, by plain HTTP for everybody.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&Options::default()).await
    }

    /// An empty registry as `options` say.
    pub async fn start_with(options: &Options<'_>) -> anyhow::Result<Self> {
        let program = Program::Registry.path().await?;
        let folder = Folder::new("registry")?;
        let (address, port) = match options.address {
            Some(address) => (address.to_owned(), None),
            None => Port::free().map(|port| (port.address().to_string(), Some(port)))?,
        };
        folder.write("config.json", configuration(options, &address, &folder)?.to_string())?;
        folder.write(AUTHORITIES, options.authority.map(Authority::certificate).unwrap_or_default())?;
        let scheme = if options.authority.is_some() { "https" } else { "http" };
        let pusher = Pusher::new(options, format!("{scheme}://{address}"))?;
        let password = options.password;
        let mut registry = Self { process: None, program, address, scheme, password, pusher, folder, _port: port };
        registry.restart().await?;
        Ok(registry)
    }

    /// Host and port, as in an image reference.
    pub fn host(&self) -> String {
        self.address.clone()
    }

    /// Scheme, host and port: the `endpoint` of a `registries` entry.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// Pushes an image that differs from others by `text`, and returns its digest. An older image loses the tag.
    pub async fn push(&self, repository: &str, tag: &str, text: &str) -> anyhow::Result<String> {
        self.pusher.image(repository, tag, text).await
    }

    /// Pushes an image that runs, and returns its digest. An older image loses the tag.
    pub async fn push_image(&self, repository: &str, tag: &str, image: &Image) -> anyhow::Result<String> {
        self.pusher.runnable(repository, tag, image).await
    }

    /// Pushes an image of two platforms, and returns the digest of its index.
    pub async fn push_index(&self, repository: &str, tag: &str, text: &str) -> anyhow::Result<String> {
        self.pusher.index(repository, tag, text).await
    }

    /// Removes a tag, or content where `version` is a digest.
    pub async fn delete(&self, repository: &str, version: &str) -> anyhow::Result<()> {
        self.pusher.delete(repository, version).await
    }

    /// What it was asked, by its own access log: all requests that it has answered, also those of the tests.
    pub fn requests(&self) -> Vec<Request> {
        requests::read(&self.folder.path().join(LOG))
    }

    /// How often it was asked so by Berth: not by those who push.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let wanted = |request: &&Request| !request.is_push() && request.method == method && request.path == path;
        self.requests().iter().filter(wanted).count()
    }

    /// Starts again, and takes only what this service signs with its key of now.
    pub async fn trust(&mut self, tokens: &TokenServer) -> anyhow::Result<()> {
        self.folder.write(KEYS, tokens.keys().to_string())?;
        self.restart().await
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
        command.env("SSL_CERT_FILE", self.folder.path().join(AUTHORITIES));
        let mut process = Process::spawn("registry", &command, self.folder.path())?;
        let address = self.host();
        let accepts = until("the registry accepts connections", START_LIMIT, async || {
            Ok(TcpStream::connect(&address).await.map(drop)?)
        });
        while_running(slice::from_mut(&mut process), accepts).await?;
        self.process = Some(process);
        Ok(())
    }
}

/// The one user of a registry with a password.
pub const USER: &str = "berth";
/// The user's password.
pub const PASSWORD: &str = "berth";
/// Who Amazon's registry takes its clients for; a registry with a password lets this one in, too.
pub const ECR_USER: &str = "AWS";
/// That user's password, in the shape that theirs have.
pub const ECR_PASSWORD: &str = "eyJwYXlsb2FkIjoiYmVydGgtdGVzdHMiLCJ2ZXJzaW9uIjoiMiJ9";
/// The keys of its token service, below its folder.
const KEYS: &str = "keys.json";
/// Whose certificates it trusts, below its folder.
const AUTHORITIES: &str = "authorities.crt";
/// Where the process writes, below its folder.
const LOG: &str = "registry.log";
const START_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

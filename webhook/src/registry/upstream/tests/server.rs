//! Servers on loopback: a registry that says 200 to everything, and a proxy that leads everybody to it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::{self, sign::any_supported_type},
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A server that ends with its test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Server {
    /// A registry, under `tls` if there is any.
    pub(super) async fn registry(tls: Option<ServerConfig>) -> Self {
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        Self::serving(move |socket, log| {
            let tls = tls.clone();
            async move {
                match tls {
                    None => answer(socket, &log).await,
                    Some(tls) => match tls.accept(socket).await {
                        Ok(stream) => answer(stream, &log).await,
                        Err(_) => None,
                    },
                }
            }
        })
        .await
    }

    /// A proxy that leads whoever comes to `target`; none: it refuses.
    pub(super) async fn proxy(target: Option<SocketAddr>) -> Self {
        Self::serving(move |mut socket, log| async move {
            let head = read_head(&mut socket).await?;
            log.lock().unwrap().push(head);
            let Some(target) = target else {
                return socket.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.ok();
            };
            let mut behind = TcpStream::connect(target).await.ok()?;
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            copy_bidirectional(&mut socket, &mut behind).await.ok().map(drop)
        })
        .await
    }

    /// A server that writes `bytes` to whoever has said something, and nothing if there are none.
    pub(super) async fn writing(bytes: &'static [u8]) -> Self {
        Self::serving(move |mut socket, log| async move {
            loop {
                let length = socket.read(&mut [0; 4096]).await.ok().filter(|length| *length > 0)?;
                log.lock().unwrap().push(format!("{length} bytes"));
                socket.write_all(bytes).await.ok()?;
            }
        })
        .await
    }

    async fn serving<F: Future<Output = Option<()>> + Send + 'static>(
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&heads);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&log)));
            }
        });
        Self { address, heads, _task: task }
    }

    /// The heads of the requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The first lines of the requests so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.heads().iter().map(|head| head.lines().next().unwrap().to_owned()).collect()
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, log: &Mutex<Vec<String>>) -> Option<()> {
    loop {
        let head = read_head(&mut stream).await?;
        log.lock().unwrap().push(head);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// An authority of a test, and what it issues.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(super) certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(super) struct Issued {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for `name`, changed by `change`.
    pub(super) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![name.to_owned()]).unwrap());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        Issued { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

impl Issued {
    /// A certificate for `name` that only its own key vouches for, changed by `change`.
    pub(super) fn by_itself(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![name.to_owned()]).unwrap());
        change(&mut params);
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// A server that shows it, whether or not the key is its own, to those whom `clients` vouches for if it is given.
    pub(super) fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = any_supported_type(&self.key.serialize_der().try_into().unwrap()).unwrap();
        let shown = CertifiedKey::new(vec![self.certificate.der().clone()], key);
        builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
    }
}

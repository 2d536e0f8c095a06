//! A registry on loopback that answers as a test says, and tells what it saw.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{
        Response,
        header::{ACCEPT_ENCODING, AUTHORIZATION, HOST, LOCATION, WWW_AUTHENTICATE},
        request::Parts,
    },
    serve::Listener,
};
use berth_cert_manager::Leaf;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A server that ends with its test.
pub(super) struct Stranger {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: JoinSet<io::Result<()>>,
}

/// One request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    /// `HEAD /v2/app/manifests/v1`.
    pub(super) line: String,
    pub(super) authorization: Option<String>,
    pub(super) host: Option<String>,
    pub(super) body: String,
    /// A compressed answer is asked for.
    pub(super) packs: bool,
}

impl Stranger {
    /// A server whose every answer `answer` makes.
    pub(super) async fn answering(answer: impl Fn(&Parts) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener.local_addr().unwrap(), listener, answer)
    }

    /// The same over TLS.
    pub(super) async fn over_tls(
        leaf: &Leaf,
        answer: impl Fn(&Parts) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let certificate = CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(address, Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }, answer)
    }

    fn serve<L: Listener<Addr = SocketAddr>>(
        address: SocketAddr,
        listener: L,
        answer: impl Fn(&Parts) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(async move |request: Request| {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
            log.lock().unwrap().push(Seen::new(&parts, &body));
            answer(&parts)
        });
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await });
        Self { address, seen, _task: task }
    }

    /// A server that writes `bytes` to whoever has sent a request, and then closes the connection if `close`.
    pub(super) async fn writing(bytes: &'static [u8], close: bool) -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await?;
                let _request = socket.read(&mut [0; 4096]).await?;
                socket.write_all(bytes).await?;
                if !close {
                    open.push(socket);
                }
            }
        });
        Self { address, seen: Arc::default(), _task: task }
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests so far, method and path only.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// The credentials that the requests so far carried.
    pub(super) fn authorizations(&self) -> Vec<Option<String>> {
        self.seen().into_iter().map(|seen| seen.authorization).collect()
    }
}

impl Seen {
    fn new(parts: &Parts, body: &[u8]) -> Self {
        let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let line = format!("{} {}", parts.method, parts.uri);
        let body = String::from_utf8(body.to_vec()).unwrap();
        let packs = parts.headers.contains_key(ACCEPT_ENCODING);
        Self { line, authorization: header(AUTHORIZATION), host: header(HOST), body, packs }
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((socket, peer)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// An answer without headers.
pub(super) fn status(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// A manifest whose digest header says `digest`, if anything.
pub(super) fn manifest(digest: Option<&str>) -> Response<Body> {
    let answer = Response::builder().header("content-type", "application/vnd.oci.image.index.v1+json");
    let answer = digest.into_iter().fold(answer, |answer, digest| answer.header("docker-content-digest", digest));
    answer.body(Body::from(MANIFEST)).unwrap()
}

/// A redirect to `location`.
pub(super) fn redirect(location: &str) -> Response<Body> {
    Response::builder().status(307).header(LOCATION, location).body(Body::empty()).unwrap()
}

/// A 401 with this challenge.
pub(super) fn challenge(challenge: &str) -> Response<Body> {
    Response::builder().status(401).header(WWW_AUTHENTICATE, challenge).body(Body::empty()).unwrap()
}

/// What the body of [`manifest`] is.
pub(super) const MANIFEST: &str = r#"{"schemaVersion":2}"#;

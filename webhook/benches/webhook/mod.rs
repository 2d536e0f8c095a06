//! The server that benches measure: this program, started once more, on a processor of its own.

#![allow(dead_code, reason = "no bench needs all of it")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use axum::{Router, routing::post};
use berth::{
    admission::App,
    config::Config,
    nodes::{Index, Nodes, Now},
    registry::{Fake, Keychain, Shared},
    server::{
        Port, REVIEW_CONNECTIONS,
        drain::Pauses,
        review,
        tls::{Identity, Tls},
    },
};
use berth_cert_manager::{Authority, Leaf};
use bytes::Bytes;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// A connection to the server.
pub(crate) type Connection = TlsStream<TcpStream>;

/// Which server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// The real port with the real routes, and an echo beside them.
    Berth,
    /// rustls with a certificate, and nothing else.
    Bare,
}

/// The server's process.
pub(crate) struct Server {
    process: Child,
    port: u16,
    connector: TlsConnector,
}

impl Server {
    /// Starts this program as the server, on a processor of its own where `taskset` is there.
    pub(crate) fn start(kind: Kind) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0"]).arg(&program);
        let mut process = [pinned, Command::new(&program)]
            .iter_mut()
            .find_map(|command| command.args(["serve", &format!("{kind:?}")]).stdout(Stdio::piped()).spawn().ok())
            .expect("this program can be started");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = lines.next().unwrap().parse().unwrap();
        let mut authority = String::new();
        while !authority.contains("END CERTIFICATE") {
            authority += &lines.next().unwrap();
            authority.push('\n');
        }
        Self { process, port, connector: connector(&authority) }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Nanoseconds that it has run. Source: `Documentation/scheduler/sched-stats.rst`, `/proc/PID/schedstat`.
    pub(crate) fn cpu(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.id())).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// A new connection, with a full handshake.
    pub(crate) async fn connect(&self) -> Connection {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        self.connector.connect("localhost".try_into().unwrap(), socket).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn connector(authority: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// A request as an API server sends it.
pub(crate) fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let header = format!(
        "POST {path} HTTP/1.1\r\nHost: berth.berth-system.svc:443\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {length}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    );
    [header.as_bytes(), body].concat()
}

/// Reads one answer to its end.
pub(crate) async fn answer(connection: &mut Connection) {
    let mut text = Vec::with_capacity(64 << 10);
    loop {
        connection.read_buf(&mut text).await.unwrap();
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let header = String::from_utf8_lossy(&text[..end]).to_lowercase();
        assert!(header.starts_with("http/1.1 200"), "{header}");
        let length = header.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if text.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}

/// The server that [`Server::start`] asks this process to be.
pub(crate) fn asked() -> Option<Kind> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "serve").skip(1);
    Some(if arguments.next()? == "Bare" { Kind::Bare } else { Kind::Berth })
}

/// Serves for ever.
pub(crate) async fn serve(kind: Kind) {
    let authority = Authority::issue("bench", SystemTime::now(), Duration::from_secs(3_600)).unwrap();
    let leaf = authority.issue_leaf(&["localhost".to_owned()], SystemTime::now(), Duration::from_secs(3_600)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    print!("{}\n{}", listener.local_addr().unwrap().port(), authority.certificate_pem());
    match kind {
        Kind::Berth => berth(listener, &leaf).await,
        Kind::Bare => bare(listener, &leaf).await,
    }
}

async fn berth(listener: TcpListener, leaf: &Leaf) {
    let identity = Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap();
    let tls = Tls::new(identity, Arc::default()).unwrap();
    let registry = Fake::new();
    (0..4).for_each(|number| drop(registry.push(&format!("registry.example/team/app-{number}:latest"))));
    let config = Config::default();
    let limits = config.limits;
    let app = App {
        config: Arc::new(config),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: Shared::new(registry, Duration::from_secs(3_600)),
        nodes: Some(Arc::new(Nodes::fixed(Index::from_nodes([], 50, Now::read())))),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    };
    let metrics = app.metrics.clone();
    let echo = Router::new().route("/echo", post(async |body: Bytes| body));
    let router = review::routes(Arc::new(ArcSwap::from_pointee(app)), &limits, metrics.clone()).merge(echo);
    let port = Port { name: "reviews", listener, tls: Some(Arc::new(tls)), router, connections: REVIEW_CONNECTIONS };
    port.serve(metrics, CancellationToken::new(), Pauses::REVIEWS).await;
}

async fn bare(listener: TcpListener, leaf: &Leaf) {
    let chain = vec![CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let handshake = acceptor.accept(socket);
        connections.spawn(async move {
            if let Ok(mut stream) = handshake.await {
                let _closed = stream.read(&mut [0; 64]).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

//! What a review costs the serving process, ÷ what an echo of the same body costs it, on the same TLS stack.
//!
//! `cargo bench -p berth --bench serve`. One connection, HTTP/1.1, one request after the other; blocks in the order
//! echo, review, review, echo; the CPU time of the server's only thread; the median of the blocks' ratios.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;
mod sample;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use axum::{Router, routing::post};
use berth::{
    admission::App,
    config::Config,
    nodes::{Index, Nodes, Now},
    registry::{Fake, Keychain, Shared},
    server::{
        Port,
        drain::Pauses,
        review,
        tls::{Identity, Tls},
    },
};
use berth_cert_manager::Authority;
use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::args().any(|argument| argument == "serve") {
        return runtime.block_on(serve());
    }
    let (mut server, port, authority) = start();
    for (name, must) in [("small", 2.5), ("large", 3.0)] {
        let body = sample::body(name);
        let [ratio, p99] = runtime.block_on(compare(server.id(), port, &authority, &body));
        measure::verdict(&format!("a review of {} bytes: CPU time ÷ an echo", body.len()), ratio, must);
        measure::verdict(&format!("a review of {} bytes: p99 ÷ an echo's", body.len()), p99, 2.0);
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

/// The median ratios of CPU time and of the slowest hundredth, over blocks in ABBA order.
async fn compare(server: u32, port: u16, authority: &str, body: &[u8]) -> [f64; 2] {
    let mut connection = connect(port, authority).await;
    let requests = ["/echo", "/mutate?timeout=10s"].map(|path| request(path, body));
    for _ in 0..500 {
        block(&mut connection, server, &requests[0], 1).await;
        block(&mut connection, server, &requests[1], 1).await;
    }
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..7 {
        let mut figures = Vec::new();
        for request in [0, 1, 1, 0] {
            figures.push(block(&mut connection, server, &requests[request], 1_500).await);
        }
        for (which, ratios) in ratios.iter_mut().enumerate() {
            ratios.push((figures[1][which] + figures[2][which]) / (figures[0][which] + figures[3][which]));
        }
    }
    ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    })
}

/// Nanoseconds of the server's CPU for each of `rounds` requests, and the time that the slowest hundredth took.
async fn block(connection: &mut TlsStream<TcpStream>, server: u32, request: &[u8], rounds: u32) -> [f64; 2] {
    let before = cpu(server);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        connection.write_all(request).await.unwrap();
        answer(connection).await;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    [(cpu(server) - before) / f64::from(rounds), times[times.len() * 99 / 100]]
}

/// Reads one answer to its end.
async fn answer(connection: &mut TlsStream<TcpStream>) {
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

fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let header = format!(
        "POST {path} HTTP/1.1\r\nHost: berth.berth-system.svc:443\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {length}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    );
    [header.as_bytes(), body].concat()
}

async fn connect(port: u16, authority: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

/// Nanoseconds that the process has run. Source: `Documentation/scheduler/sched-stats.rst`, `/proc/PID/schedstat`.
fn cpu(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Starts this program as the server, on a processor of its own where `taskset` is there.
fn start() -> (Child, u16, String) {
    let program = std::env::current_exe().unwrap();
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(&program);
    let mut server = [pinned, Command::new(&program)]
        .iter_mut()
        .find_map(|command| command.arg("serve").stdout(Stdio::piped()).spawn().ok())
        .expect("this program can be started");
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = lines.next().unwrap().parse().unwrap();
    let mut authority = String::new();
    while !authority.contains("END CERTIFICATE") {
        authority += &lines.next().unwrap();
        authority.push('\n');
    }
    (server, port, authority)
}

/// The server: the real port with the real routes, and an echo beside them.
async fn serve() {
    let authority = Authority::issue("bench", SystemTime::now(), Duration::from_secs(3_600)).unwrap();
    let leaf = authority.issue_leaf(&["localhost".to_owned()], SystemTime::now(), Duration::from_secs(3_600)).unwrap();
    let identity = Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap();
    let tls = Tls::new(identity, Arc::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
    print!("{}\n{}", listener.local_addr().unwrap().port(), authority.certificate_pem());
    let port = Port { name: "reviews", listener, tls: Some(Arc::new(tls)), router, connections: 16 };
    port.serve(metrics, CancellationToken::new(), Pauses::REVIEWS).await;
}

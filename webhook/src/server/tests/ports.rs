use berth_cert_manager::Authority;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use super::*;

/// A TLS port on loopback, its address, and a client's way in.
async fn tls_port(connections: usize, router: Router) -> (Port, SocketAddr, TlsConnector) {
    let now = std::time::SystemTime::now();
    let hour = Duration::from_secs(60 * 60);
    let authority = Authority::issue("test", now, hour).unwrap();
    let leaf = authority.issue_leaf(&["localhost".to_owned()], now, hour).unwrap();
    let identity = tls::Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap();
    let tls = Tls::new(identity, Arc::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Port { name: "review", listener, tls: Some(Arc::new(tls)), router, connections }, address, connector(&authority))
}

fn connector(authority: &Authority) -> TlsConnector {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn over_tls(address: SocketAddr, connector: &TlsConnector) -> tokio_rustls::client::TlsStream<TcpStream> {
    let socket = TcpStream::connect(address).await.unwrap();
    connector.connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

#[tokio::test]
async fn silent_connections_never_keep_an_honest_one_out() {
    let (port, address, connector) = tls_port(4, hello()).await;
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    tasks.spawn(port.serve(Arc::default(), stop.clone(), Pauses::STATUS));
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = exchange(&mut over_tls(address, &connector).await, REQUEST).await;
    assert!(answer.expect("served beside forty silent ones").starts_with("HTTP/1.1 200"));
    let oldest = closed_after(&mut silent[0]).await;
    assert!(oldest < HANDSHAKE_LIMIT / 2, "turned away, not waited for: {oldest:?}");
}

#[tokio::test]
async fn a_proven_connection_outlives_a_flood() {
    let (port, address, connector) = tls_port(4, reviews::reviews(&Arc::default()).0).await;
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    tasks.spawn(port.serve(Arc::default(), stop.clone(), Pauses::STATUS));
    let mut proven = over_tls(address, &connector).await;
    exchange(&mut proven, &reviews::post("/mutate", &reviews::review("first"))).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(over_tls(address, &connector).await);
    }
    assert!(exchange(&mut proven, &reviews::post("/mutate", "again")).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_handshake_dies_within_ten_seconds() {
    let (port, address, _) = tls_port(4, hello()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(port.serve(Arc::default(), CancellationToken::new(), Pauses::STATUS));
    let mut stalled = TcpStream::connect(address).await.unwrap();
    stalled.write_all(b"\x16\x03\x01").await.unwrap();
    let closed = closed_after(&mut stalled).await;
    assert!(closed <= seconds(10.0), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_port_ends_with_its_last_connection_and_serves_until_then() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port { name: "review", listener, tls: None, router: hello(), connections: 4 };
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    tasks.spawn(port.serve(Arc::default(), stop.clone(), Pauses::REVIEWS));
    let mut old = TcpStream::connect(address).await.unwrap();
    exchange(&mut old, REQUEST).await.unwrap();

    let told = Instant::now();
    stop.cancel();
    time::sleep(seconds(5.0)).await;
    let late = exchange(&mut TcpStream::connect(address).await.unwrap(), REQUEST).await;
    assert!(late.expect("endpoints are removed late").contains("connection: close"));
    time::sleep(seconds(45.0)).await;
    assert!(tasks.try_join_next().is_none(), "a connection is open");
    let last = exchange(&mut old, REQUEST).await;
    assert!(last.expect("an idle connection is not closed").contains("connection: close"));
    tasks.join_next().await.unwrap().unwrap();
    assert!(told.elapsed() < seconds(60.0), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_idle_is_cut_at_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port { name: "review", listener, tls: None, router: hello(), connections: 4 };
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    tasks.spawn(port.serve(Arc::default(), stop.clone(), Pauses::REVIEWS));
    let mut idle = TcpStream::connect(address).await.unwrap();
    exchange(&mut idle, REQUEST).await.unwrap();
    stop.cancel();
    let closed = closed_after(&mut idle).await;
    assert!(closed >= seconds(99.0) && closed <= seconds(101.0), "{closed:?}");
    tasks.join_next().await.unwrap().unwrap();
}

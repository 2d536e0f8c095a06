//! One connection to a webhook, such as an API server's: TLS, HTTP/1.1, kept open.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use berth_cert_manager::Authority;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Whom a caller trusts.
#[derive(Clone)]
pub(crate) struct Trust(TlsConnector);

impl Trust {
    /// The authority that a `caBundle` names.
    pub(crate) fn new(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()]; // as for Services
        Self(TlsConnector::from(Arc::new(config)))
    }
}

/// What became of one review.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// No connection.
    Dial,
    /// The connection ended before the answer did.
    Broken,
    /// No answer in time.
    TimedOut,
}

/// An open connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    pub(crate) peer: SocketAddr,
    pub(crate) idle_since: Instant,
}

impl Connection {
    pub(crate) async fn dial(peer: SocketAddr, trust: &Trust) -> Result<Self, Failure> {
        Self::try_dial(peer, trust).await.map_err(|_| Failure::Dial)
    }

    /// The same, with what went wrong.
    pub(crate) async fn try_dial(peer: SocketAddr, trust: &Trust) -> std::io::Result<Self> {
        let dialling = async {
            let socket = TcpStream::connect(peer).await?;
            socket.set_nodelay(true)?;
            trust.0.connect(NAME.try_into().unwrap(), socket).await
        };
        let stream = timeout(LIMIT, dialling).await??;
        Ok(Self { stream, peer, idle_since: Instant::now() })
    }

    /// The certificate that was shown.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// Whether the other side has closed it, as Go's transport knows of all that it keeps.
    pub(crate) fn closed(&self) -> bool {
        let looked = recv(self.stream.get_ref().0, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked != Err(Errno::AGAIN) // its end, or an announcement of it
    }

    /// Sends a review about a Pod with `image`, and waits for its answer: whether it says `Connection: close`.
    pub(crate) async fn review(&mut self, image: &str) -> Result<bool, Failure> {
        let answered = timeout(LIMIT, self.exchange(image)).await.map_err(|_| Failure::TimedOut)?;
        self.idle_since = Instant::now();
        let (head, body) = answered.map_err(|_| Failure::Broken)?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["response"]["uid"], &body["response"]["allowed"]), (&json!("u"), &json!(true)), "{body}");
        Ok(head.to_lowercase().contains("\r\nconnection: close"))
    }

    async fn exchange(&mut self, image: &str) -> std::io::Result<(String, Vec<u8>)> {
        self.stream.write_all(&request(image)).await?;
        let mut answer = Vec::new();
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(answer[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if answer.len() == end + 4 + length.parse::<usize>().unwrap() {
                return Ok((head, answer.split_off(end + 4)));
            }
        }
    }

    /// Sends a header, a byte every second, and says how long that was borne.
    pub(crate) async fn dribble(&mut self) -> Duration {
        let began = Instant::now();
        for byte in b"POST /mutate HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            let written = self.stream.write_all(&[*byte]).await;
            if written.is_err() || timeout(Duration::from_secs(1), self.stream.read(&mut [0])).await.is_ok() {
                return began.elapsed();
            }
        }
        began.elapsed()
    }
}

/// A review as an API server sends it.
fn request(image: &str) -> Vec<u8> {
    let pod = json!({ "metadata": { "name": "any" }, "spec": { "containers": [{ "name": "app", "image": image }] } });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    let request = json!({ "uid": "u", "operation": "CREATE", "resource": resource, "namespace": "n", "object": pod });
    let body =
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request }).to_string();
    let head = format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: {NAME}\r\nUser-Agent: kube-apiserver-admission\r\n\
         Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\
         Accept-Encoding: gzip\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

/// By which API servers call.
pub(crate) const NAME: &str = "berth-webhook.berth-system.svc";
/// The `timeoutSeconds` of these calls.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

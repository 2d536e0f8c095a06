//! One connection to a replica, as an API server has it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    replica: SocketAddr,
    _driver: JoinSet<()>,
}

/// What a replica answered.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// It said `Connection: close`.
    pub(super) last: bool,
}

impl Connection {
    /// Connects, and verifies who answers by `trust` and the Service's name.
    pub(super) async fn open(replica: SocketAddr, trust: Arc<ClientConfig>) -> anyhow::Result<Self> {
        timeout(LIMIT, Self::open_now(replica, trust)).await.context("no connection within 10 s")?
    }

    async fn open_now(replica: SocketAddr, trust: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(replica).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let tls = TlsConnector::from(trust).connect(ServerName::try_from(NAME)?, socket).await.context("TLS")?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await?;
        let mut driver = JoinSet::new();
        // What ends it is seen by whoever uses the connection.
        driver.spawn(async move { drop(connection.await) });
        Ok(Self { sender, replica, _driver: driver })
    }

    /// Whose it is.
    pub(super) fn replica(&self) -> SocketAddr {
        self.replica
    }

    /// Whether it was closed from the other side.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it is closed from the other side.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Sends a review, once: who wrote anything cannot know whether it was taken.
    pub(super) async fn post(&mut self, review: Bytes) -> anyhow::Result<Answer> {
        timeout(LIMIT, self.post_now(review)).await.context("no answer within 10 s")?
    }

    async fn post_now(&mut self, review: Bytes) -> anyhow::Result<Answer> {
        let request = Request::post("/mutate?timeout=10s")
            .header(header::HOST, format!("{NAME}:443"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(review))?;
        let answer = self.sender.send_request(request).await.context("the review")?;
        let last = answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        ensure!(answer.status() == 200, "status {}", answer.status());
        let body = answer.into_body().collect().await.context("the answer")?.to_bytes();
        Ok(Answer { body, last })
    }
}

/// How API servers call the Service, and whom its certificate must name.
const NAME: &str = "berth-webhook.berth-system.svc";
const LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

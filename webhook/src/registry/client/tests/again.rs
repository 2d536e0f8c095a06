//! Connections that break: asked once more, and not more often.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    ask, client,
    stranger::{Stranger, status},
};

const IMAGE: &str = "reg.example/app:v1";
const FOUND: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\nContent-Length: 7\r\n\
    Docker-Content-Digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";

/// A registry that does with its requests, in order, as it is told; the last line repeats.
struct Broken {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

/// What happens to a request.
#[derive(Clone, Copy)]
enum Fate {
    /// It is answered, and the connection stays open.
    Answered,
    /// The connection is closed.
    Closed,
    /// The connection is reset.
    Reset,
}

impl Broken {
    async fn start(fates: &'static [Fate]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (counted, mut task) = (requests.clone(), JoinSet::new());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, fates, counted.clone()));
            }
        });
        Self { address, requests, _task: task }
    }

    async fn told(&self) -> Result<String, String> {
        ask(&client(&[("reg.example", &format!("http://{}", self.address))], &[]), IMAGE).await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(mut socket: TcpStream, fates: &[Fate], requests: Arc<AtomicUsize>) {
    while socket.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
        let number = requests.fetch_add(1, Ordering::Relaxed);
        match fates[number.min(fates.len() - 1)] {
            Fate::Answered => socket.write_all(FOUND.as_bytes()).await.unwrap(),
            Fate::Closed => return,
            Fate::Reset => return socket.set_zero_linger().unwrap(),
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_once_more() {
    for fates in [&[Fate::Closed, Fate::Answered], &[Fate::Reset, Fate::Answered]] {
        let registry = Broken::start(fates).await;
        assert!(registry.told().await.is_ok());
        assert_eq!(registry.requests(), 2);
    }
    for fates in [&[Fate::Closed], &[Fate::Reset]] {
        let registry = Broken::start(fates).await;
        assert!(registry.told().await.is_err());
        assert_eq!(registry.requests(), 2);
    }
}

#[tokio::test]
async fn a_connection_kept_from_before_may_be_closed_under_a_question() {
    let registry = Broken::start(&[Fate::Answered, Fate::Reset, Fate::Answered]).await;
    let client = client(&[("reg.example", &format!("http://{}", registry.address))], &[]);
    assert!(ask(&client, IMAGE).await.is_ok());
    assert!(ask(&client, IMAGE).await.is_ok());
    assert_eq!(registry.requests(), 3);
}

#[tokio::test]
async fn what_was_answered_is_not_asked_again() {
    for code in [400, 403, 404, 429, 500, 503] {
        let stranger = Stranger::answering(move |_| status(code)).await;
        assert!(ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await.is_err());
        assert_eq!(stranger.lines().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_registry_that_fails_is_not_asked_for_a_while() {
    let registry = Broken::start(&[Fate::Closed]).await;
    let client = client(&[("reg.example", &format!("http://{}", registry.address))], &[]);
    for _ in 0..5 {
        assert!(!ask(&client, IMAGE).await.unwrap_err().contains("asked again"));
    }
    for _ in 0..20 {
        let told = ask(&client, IMAGE).await.unwrap_err();
        assert!(told.starts_with("reg.example: ") && told.ends_with("; it is asked again in 1 s"), "{told}");
    }
    assert_eq!(registry.requests(), 10);
}

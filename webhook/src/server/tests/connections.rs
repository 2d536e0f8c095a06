use axum::routing::get;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;

proptest! {
    /// API servers send the next request on a connection that was idle for up to 90 s.
    #[test]
    fn an_idle_connection_lives_longer_than_any_api_server_keeps_it(idle in prop::collection::vec(0.0..100.0f64, 1..6)) {
        paused(async {
            let mut tasks = JoinSet::new();
            let mut client = connect(&mut tasks, hello(), &CancellationToken::new());
            for idle in idle {
                time::sleep(seconds(idle)).await; // the first one before any request
                let answer = exchange(&mut client, REQUEST).await.expect("no EOF");
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        });
    }

    /// Whatever came before, and however the bytes are spread.
    #[test]
    fn a_dribbled_header_dies_within_ten_seconds(idle in 0.0..110.0f64, used: bool, every in 0.01..9.0f64) {
        paused(async {
            let mut tasks = JoinSet::new();
            let mut client = connect(&mut tasks, hello(), &CancellationToken::new());
            if used {
                exchange(&mut client, REQUEST).await.expect("an answer");
            }
            time::sleep(seconds(idle)).await;
            let (mut reads, mut writes) = tokio::io::split(client);
            let dribble = async {
                for byte in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
                    if writes.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    time::sleep(seconds(every)).await;
                }
            };
            let closed = tokio::select! { closed = closed_after(&mut reads) => closed, () = dribble => panic!("wrote") };
            assert!(closed <= seconds(10.0), "{closed:?}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_ends() {
    let mut tasks = JoinSet::new();
    let mut silent = connect(&mut tasks, hello(), &CancellationToken::new());
    let closed = closed_after(&mut silent).await;
    assert!(closed > seconds(95.0) && closed < seconds(150.0), "{closed:?}");

    let mut used = connect(&mut tasks, hello(), &CancellationToken::new());
    exchange(&mut used, REQUEST).await.unwrap();
    let closed = closed_after(&mut used).await;
    assert!(closed > seconds(95.0) && closed < seconds(150.0), "{closed:?}");
    assert_eq!(tasks.join_all().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_waited_for() {
    let mut tasks = JoinSet::new();
    let mut client =
        connect(&mut tasks, Router::new().route("/", get(async || vec![0; 1 << 20])), &CancellationToken::new());
    client.write_all(REQUEST).await.unwrap();
    let begun = Instant::now();
    tasks.join_next().await.unwrap().unwrap();
    assert!(begun.elapsed() <= seconds(15.0));
}

#[tokio::test(start_paused = true)]
async fn draining_closes_by_the_answer_and_never_an_idle_connection() {
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let mut client = connect(&mut tasks, hello(), &stop);
    let before = exchange(&mut client, REQUEST).await.unwrap();
    assert!(!before.contains("connection: close"), "{before}");
    stop.cancel();
    time::sleep(seconds(89.0)).await;
    let after = exchange(&mut client, REQUEST).await.expect("the idle connection is still open");
    assert!(after.contains("connection: close"), "{after}");
    assert_eq!(closed_after(&mut client).await, Duration::ZERO);
}

/// A HEADERS frame that announces more, and CONTINUATION frames without end; or nothing at all.
#[tokio::test(start_paused = true)]
async fn a_dribbled_http2_header_dies_as_soon() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice();
    let headers = b"\0\0\x01\x01\0\0\0\0\x01\x82".as_slice();
    let continuation = b"\0\0\0\x09\0\0\0\0\x01".as_slice();
    let many = [continuation; 30].concat();
    for sent in [&[preface, headers, &many].concat(), &[preface, &headers[..5]].concat(), &preface[..10], b"" as &[u8]]
    {
        let (client, server) = tokio::io::duplex(1 << 16);
        let (mut tasks, stop, pace) = (JoinSet::new(), CancellationToken::new(), Arc::new(Pace::new(Instant::now())));
        tasks.spawn(async move {
            drop(connection::serve(server, Protocol::Http2, Peer::default(), hello(), pace, stop).await);
        });
        let (mut reads, mut writes) = tokio::io::split(client);
        let (quick, slow) = sent.split_at(sent.len().min(preface.len()));
        let begun = Instant::now();
        writes.write_all(quick).await.unwrap();
        let dribble = async {
            for byte in slow {
                let _closed = writes.write_all(&[*byte]).await;
                time::sleep(seconds(0.25)).await;
            }
            std::future::pending::<()>().await;
        };
        let watched = async {
            tokio::select! { _ = closed_after(&mut reads) => (), () = dribble => () }
        };
        time::timeout(seconds(60.0), watched).await.expect("closed");
        assert!(begun.elapsed() <= seconds(10.0), "{:?} for {sent:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn http2_ends_by_goaway_with_its_streams_answered() {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let (pace, stopped) = (Arc::new(Pace::new(Instant::now())), stop.clone());
    let router = Router::new().route("/", get(async || time::sleep(Duration::from_secs(3)).await));
    tasks.spawn(async move {
        connection::serve(server, Protocol::Http2, Peer::default(), router, pace, stopped).await.unwrap();
    });
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(TokioExecutor::new(), TokioIo::new(client))
            .await
            .unwrap();
    tasks.spawn(async move { connection.await.unwrap() });
    let request = http::Request::get("http://localhost/").body(Full::default()).unwrap();
    let stopping = async {
        time::sleep(seconds(1.0)).await;
        stop.cancel();
    };
    time::sleep(seconds(100.0)).await; // idle, but for pings
    let (answer, ()) = tokio::join!(sender.send_request(request), stopping);
    let answer = answer.unwrap();
    assert!(answer.status().is_success());
    assert!(answer.headers().get("connection").is_none(), "not in HTTP/2");
    answer.into_body().collect().await.unwrap();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[track_caller]
fn paused(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test);
}

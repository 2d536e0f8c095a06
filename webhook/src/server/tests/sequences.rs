//! A connection whose HTTP part is taken apart between two requests answers as if it never were.

use axum::{body::Bytes, routing::post};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use proptest::prelude::*;

use super::*;

/// What a client sends, in pieces with pauses between.
#[derive(Clone, Debug)]
struct Sent {
    requests: Vec<Vec<u8>>,
    /// Where the bytes of all requests are cut.
    cuts: Vec<usize>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let request = prop_oneof![
        4 => Just(REQUEST.to_vec()),
        4 => (0usize..20_000).prop_map(|length| posted("/echo", length)),
        // hyper takes in what its buffer holds of a body that nobody reads, and closes where that is not all; to the byte,
        // how much it holds depends on how the bytes came.
        2 => prop_oneof![0usize..4_000, 40_000usize..50_000].prop_map(|length| posted("/unread", length)),
        1 => (0usize..3_000).prop_map(|length| chunked("/echo", length)),
        1 => Just(b"GET / HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n".to_vec()),
        1 => Just(b"GET / HTTP/1.0\r\nHost: berth\r\n\r\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"NONSENSE\r\n\r\n".to_vec()),
    ];
    let cut = prop_oneof![3 => 1usize..80, 1 => 1usize..20_000];
    (prop::collection::vec(request, 1..6), prop::collection::vec(cut, 0..12))
        .prop_map(|(requests, cuts)| Sent { requests, cuts })
}

fn posted(path: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: berth\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

fn chunked(path: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: berth\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
    let end = if length == 0 { "\r\n" } else { "\r\n0\r\n\r\n" };
    [head.into_bytes(), vec![b'x'; length], end.into()].concat()
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/unread", post(async || "no matter"))
}

/// All that comes back, but for the time of day.
async fn said(sent: &Sent, mut client: DuplexStream) -> String {
    let (mut reads, mut writes) = tokio::io::split(&mut client);
    let write = async {
        let all = sent.requests.concat();
        let mut from = 0;
        for cut in sent.cuts.iter().copied().chain([all.len()]) {
            let to = all.len().min(from + cut);
            if writes.write_all(&all[from..to]).await.is_err() {
                return;
            }
            time::sleep(seconds(1.0)).await;
            from = to;
        }
        let _closed = writes.shutdown().await;
    };
    let mut answers = Vec::new();
    let (_read, ()) = tokio::join!(reads.read_to_end(&mut answers), write);
    let answers = String::from_utf8(answers).unwrap();
    answers.split("\r\n").filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

proptest! {
    #[test]
    fn it_answers_like_hyper_alone(sent in sent()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (ours, theirs) = runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let ours = connect(&mut tasks, router(), &CancellationToken::new());
            let (theirs, server) = tokio::io::duplex(1 << 16);
            tasks.spawn(async move {
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.header_read_timeout(None).max_buf_size(8 * 1024);
                let service = TowerToHyperService::new(router());
                let _how_it_ended = builder.serve_connection(TokioIo::new(server), service).await;
            });
            tokio::join!(said(&sent, ours), said(&sent, theirs))
        });
        prop_assert_eq!(ours, theirs);
    }
}

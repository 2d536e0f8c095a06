//! What a review costs the serving process, ÷ what an echo of the same body costs it, on the same TLS stack.
//!
//! `cargo bench -p berth --bench serve`. One connection, HTTP/1.1, one request after the other; blocks in the order
//! echo, review, review, echo; the CPU time of the server's only thread; the median of the blocks' ratios.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;
mod sample;
mod webhook;

use std::time::Instant;

use tokio::{io::AsyncWriteExt as _, runtime};

use self::webhook::{Connection, Kind, Server, answer, request};

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(kind) = webhook::asked() {
        return runtime.block_on(webhook::serve(kind));
    }
    let server = Server::start(Kind::Berth);
    for (name, must) in [("small", 2.5), ("large", 3.0)] {
        let body = sample::body(name);
        let [ratio, p99] = runtime.block_on(compare(&server, &body));
        measure::verdict(&format!("a review of {} bytes: CPU time ÷ an echo", body.len()), ratio, must);
        measure::verdict(&format!("a review of {} bytes: p99 ÷ an echo's", body.len()), p99, 2.0);
    }
}

/// The median ratios of CPU time and of the slowest hundredth, over blocks in ABBA order.
async fn compare(server: &Server, body: &[u8]) -> [f64; 2] {
    let mut connection = server.connect().await;
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
async fn block(connection: &mut Connection, server: &Server, request: &[u8], rounds: u32) -> [f64; 2] {
    let before = server.cpu();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        connection.write_all(request).await.unwrap();
        answer(connection).await;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    [(server.cpu() - before) / f64::from(rounds), times[times.len() * 99 / 100]]
}

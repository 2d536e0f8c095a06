//! What a full TLS handshake costs the serving process, ÷ what it costs a server of rustls that does nothing else.
//!
//! `cargo bench -p berth --bench handshake`. P-256 certificates, no resumption; blocks in the order bare, Berth, Berth,
//! bare; the CPU time of the server's only thread; the median of the blocks' ratios.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;
mod webhook;

use tokio::{io::AsyncWriteExt as _, runtime};

use self::webhook::{Kind, Server};

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(kind) = webhook::asked() {
        return runtime.block_on(webhook::serve(kind));
    }
    let servers = [Kind::Bare, Kind::Berth].map(Server::start);
    let mut ratios: Vec<_> = (0..BLOCKS).map(|_| runtime.block_on(compare(&servers))).collect();
    ratios.sort_by(f64::total_cmp);
    measure::verdict("a full handshake: CPU time ÷ a bare rustls server's", ratios[ratios.len() / 2], 1.1);
}

/// One ratio.
async fn compare(servers: &[Server; 2]) -> f64 {
    let mut figures = [0.0; 2];
    for which in [0, 1, 1, 0] {
        figures[which] += block(&servers[which]).await;
    }
    figures[1] / figures[0]
}

/// Nanoseconds of the server's CPU for some handshakes.
async fn block(server: &Server) -> f64 {
    let before = server.cpu();
    for _ in 0..HANDSHAKES {
        server.connect().await.shutdown().await.unwrap();
    }
    server.cpu() - before
}

const BLOCKS: usize = 9;
const HANDSHAKES: usize = 300;

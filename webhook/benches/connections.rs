//! What an open connection holds that is idle, in memory of the serving process.
//!
//! `cargo bench -p berth --bench connections`. Every connection has had one review; resident memory with 1 800
//! of them more, less that before.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;
mod sample;
mod webhook;

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, runtime, time::sleep};

use self::webhook::{Connection, Kind, Server, answer, request};

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(kind) = webhook::asked() {
        return runtime.block_on(webhook::serve(kind));
    }
    for name in ["small", "large"] {
        let (server, body) = (Server::start(Kind::Berth), sample::body(name));
        let each = runtime.block_on(each(&server, &body)) / 1024.0;
        measure::verdict(
            &format!("KiB of an idle connection that has had a review of {} bytes", body.len()),
            each,
            16.0,
        );
    }
}

/// Bytes for each of 1 800 connections.
async fn each(server: &Server, body: &[u8]) -> f64 {
    let mut open = Vec::new();
    for _ in 0..FEW {
        open.push(used(server, body).await);
    }
    let before = resident(server.id());
    for _ in 0..MANY {
        open.push(used(server, body).await);
    }
    sleep(Duration::from_millis(500)).await;
    (resident(server.id()) - before) / f64::from(MANY)
}

async fn used(server: &Server, body: &[u8]) -> Connection {
    let mut connection = server.connect().await;
    connection.write_all(&request("/mutate?timeout=10s", body)).await.unwrap();
    answer(&mut connection).await;
    connection
}

/// Bytes. Source: `proc_pid_statm(5)`, in pages of 4 KiB.
fn resident(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

/// So that what the process makes once is there.
const FEW: u32 = 100;
const MANY: u32 = 1_800;

//! What one review costs: decoding in instructions, a cached review in allocations.
//!
//! `cargo bench -p berth --bench review`; the instruction counts need valgrind.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;
mod sample;

use std::{
    alloc::System,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use berth::{
    admission::{App, Caller, Mode, decode},
    config::Config,
    nodes::{Index, Nodes, Now},
    registry::{Fake, Keychain, Shared},
};
use serde::de::IgnoredAny;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    if let Some((mode, rounds)) = measure::asked() {
        return run(&mode, rounds);
    }
    for (name, most) in [("small", 1.3), ("large", 1.3)] {
        let bytes = sample::body(name).len();
        let figures = ["decode", "ignore"].map(|what| measure::instructions(&format!("{what}-{name}"), 200, 1_200));
        let [Some(decoding), Some(ignoring)] = figures else {
            println!("decoding: skipped, because valgrind is not installed");
            break;
        };
        measure::verdict(&format!("decoding {bytes} bytes: instructions ÷ skipping them"), decoding / ignoring, most);
    }
    let [one, eleven] = [1, 11].map(allocations);
    let each = (eleven - one) / 10.0;
    measure::verdict("allocations of a cached review: for each container", each, 6.0);
    measure::verdict("allocations of a cached review: besides", one - each, 60.0);
}

/// Rounds for callgrind.
fn run(mode: &str, rounds: u32) {
    let (what, name) = mode.split_once('-').unwrap();
    let body = sample::body(name);
    for _ in 0..rounds {
        match what {
            "decode" => drop(black_box(decode::decode(black_box(&body)).unwrap())),
            "ignore" => drop(black_box(serde_json::from_slice::<IgnoredAny>(black_box(&body)).unwrap())),
            _ => unreachable!("{mode}"),
        }
    }
}

/// Allocations of one review whose images were all asked for a moment ago.
fn allocations(containers: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Fake::new();
    for number in 0..containers {
        registry.push(&format!("registry.example/team/app-{number}:latest"));
    }
    let app = App {
        config: Arc::new(Config::default()),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: Shared::new(registry, Duration::from_secs(300)),
        nodes: Some(Arc::new(Nodes::fixed(Index::from_nodes([], 50, Now::read())))),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    };
    let body = sample::review(&sample::pod(containers, 2)).to_string();
    let ask = || {
        let deadline = Instant::now() + Duration::from_secs(5);
        runtime.block_on(app.review(Mode::Enforce, Caller::Anyone, body.as_bytes(), deadline)).unwrap()
    };
    let answer = ask();
    assert!(String::from_utf8_lossy(&answer).contains("JSONPatch"), "nothing was pinned");
    let rounds = 100;
    let region = Region::new(ALLOCATOR);
    for _ in 0..rounds {
        black_box(ask());
    }
    let change = region.change();
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let each = (change.allocations + change.reallocations) as f64 / f64::from(rounds);
    each
}

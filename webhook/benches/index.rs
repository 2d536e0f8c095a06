//! What the index of the nodes costs: heap for each image of a node, instructions for an update.
//!
//! `cargo bench -p berth --bench index`; the instruction counts need valgrind.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod cluster;
mod measure;

use std::{alloc::System, hint::black_box, time::Instant};

use berth::nodes::{Index, Node, Now};
use cluster::{LISTED, node};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    if let Some((mode, rounds)) = measure::asked() {
        return run(&mode, rounds);
    }
    for (nodes, images) in [(5_000, 1_000), (5_000, 100), (50_000, 1_000)] {
        let what = format!("heap for each image of a node, bytes: {nodes} nodes × {LISTED} of {images} images");
        measure::verdict(&what, heap(nodes, images) / f64::from(nodes * LISTED), 40.0);
    }
    for nodes in [5_000, 50_000] {
        let (peak, steady, end) = first_list(nodes);
        let what = format!("peak heap in the first list of {nodes} nodes, less 32 MB, ÷ steady");
        measure::verdict(&what, (peak - 32.0 * 1_048_576.0) / steady, 1.5);
        println!("    peak {:.1} MB, steady {:.1} MB", peak / 1e6, steady / 1e6);
        measure::verdict(&format!("complete after the last of {nodes} nodes, ms"), end, 300.0);
    }
    let [Some(decoding), Some(updating)] = ["decode", "same"].map(|mode| measure::instructions(mode, 20, 120)) else {
        println!("updates: skipped, because valgrind is not installed");
        return;
    };
    measure::verdict("an update without other images: instructions ÷ decoding it", updating / decoding, 2.0);
}

/// Bytes that an index of so many nodes keeps, each with `LISTED` of so many `images`.
fn heap(nodes: u32, images: u32) -> f64 {
    let region = Region::new(ALLOCATOR);
    let index = Index::from_nodes((0..nodes).map(|node| decode(&self::node(node, node, images))), 1_000, Now::read());
    let change = region.change();
    drop(black_box(index));
    f64::from(u32::try_from(change.bytes_allocated - change.bytes_deallocated).unwrap())
}

/// Bytes at most and at last, when a list of so many nodes is read page by page as the watch does it, and milliseconds from
/// its end until the index is complete.
fn first_list(nodes: u32) -> (f64, f64, f64) {
    let region = Region::new(ALLOCATOR);
    let kept = || {
        let change = region.change();
        f64::from(u32::try_from(change.bytes_allocated.saturating_sub(change.bytes_deallocated)).unwrap())
    };
    let (mut index, mut peak) = (Index::new(1_000, Now::read()), 0.0_f64);
    index.begin_list();
    for page in 0..nodes / 100 {
        let text =
            (0..100).map(|number| node(page * 100 + number, page * 100 + number, 1_000)).collect::<Vec<_>>().join(",");
        let nodes: Vec<Node> = serde_json::from_str(&format!("[{text}]")).unwrap();
        peak = peak.max(kept());
        drop(text);
        for node in &nodes {
            assert!(index.apply(node));
        }
        peak = peak.max(kept());
    }
    let began = Instant::now();
    index.end_list();
    let end = began.elapsed().as_secs_f64() * 1e3;
    let steady = kept();
    drop(black_box(index));
    (peak, steady, end)
}

/// Rounds for callgrind.
fn run(mode: &str, rounds: u32) {
    let update = node(7, 7, 1_000);
    let mut index = Index::from_nodes((0..50).map(|node| decode(&self::node(node, node, 1_000))), 1_000, Now::read());
    for _ in 0..rounds {
        match mode {
            "decode" => drop(black_box(decode(&update))),
            "same" => assert!(!index.apply(&decode(&update))),
            _ => unreachable!("{mode}"),
        }
    }
}

fn decode(text: &str) -> Node {
    serde_json::from_str(text).unwrap()
}

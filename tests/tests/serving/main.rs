//! The real `berth webhook` as API servers meet it: replicas that come and go under load, connections that idle, a
//! certificate that changes, and an API that is gone.
//!
//! `BERTH_BARS=full` runs them with the numbers that the bars name, which takes half an hour and wants
//! `--test-threads=1` and a machine that does nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what a test does not find, it fails by"
)]

mod apart;
mod api;
mod caller;
mod connection;
mod fleet;
mod idle;
mod lost;
mod replica;
mod rolling;
mod swaps;

use std::{env, time::Duration};

/// `full` where the bars are measured, else `usual`.
fn bar<T>(usual: T, full: T) -> T {
    if env::var("BERTH_BARS").is_ok_and(|bars| bars == "full") { full } else { usual }
}

/// Numbers that look random and are the same each time.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `0..sides`. Source: G. Marsaglia, "Xorshift RNGs", 2003.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// A time between `least` and `most` seconds.
    fn seconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least * 1_000 + self.roll((most - least) * 1_000 + 1))
    }
}

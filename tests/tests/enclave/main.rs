//! What needs a network of its own: that Berth sends no packet where it must not, and the situations with a registry at
//! an address that is not this machine's.
//!
//! Namespaces need root, or a kernel that lets everybody have them. Elsewhere these tests are counted as ignored, and
//! standard error says why.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]

mod inside;
mod kind;
mod packets;
mod production;
mod stall;
mod stranger;
mod town;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use berth_tests::enclave;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    // Before there is a second thread, and so before any test.
    let refused = enclave::prepare().err();
    if let Some(reason) = &refused {
        // A closed standard error leaves nobody to tell.
        let _unheard = writeln!(io::stderr(), "no test of this file can run here: {reason:#}");
    }
    let trial = |name: &str, test: fn()| {
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(refused.is_some())
    };
    let trials = packets::ALL
        .iter()
        .chain(kind::ALL)
        .chain(production::ALL)
        .chain(stall::ALL)
        .map(|(name, test)| trial(name, *test))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

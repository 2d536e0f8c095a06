//! Real nodes are what they say: Pods run on them, have logs and Services, and nothing is left behind.
//!
//! They need root, and a kernel that lets root have namespaces and control groups. Elsewhere these tests are counted as
//! ignored, and standard error says why.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]
#![allow(clippy::print_stdout, reason = "how long it took is worth knowing")]

mod leftovers;
mod running;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use berth_tests::kubelet::Kubelets;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    if let Some(words) = leftovers::owner() {
        return words;
    }
    let refused = Kubelets::prepare().err();
    if let Some(reason) = &refused {
        // A closed standard error leaves nobody to tell.
        let _unheard = writeln!(io::stderr(), "skipped, because {reason:#}");
    }
    let trial = |(name, test): &(&str, fn())| {
        let test = *test;
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(*name, run).with_ignored_flag(refused.is_some())
    };
    libtest_mimic::run(&Arguments::from_args(), running::ALL.iter().chain(leftovers::ALL).map(trial).collect())
        .exit_code()
}

/// Runs a test to its end.
fn block_on(test: impl Future<Output = anyhow::Result<()>>) {
    Runtime::new().unwrap().block_on(test).unwrap();
}

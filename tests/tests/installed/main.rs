//! Berth installed on real nodes, as Pods behind its Service, while Pods are created all the while: whatever befalls
//! it, how many calls fail. Prints one table of what came out.
//!
//! The tests are experiments on one cluster, one after the other. They need what `kubelets` needs, and a machine that
//! can build container images; elsewhere they are counted as ignored, and standard error says why.
//! `BERTH_BARS=full` does everything as often as the project's bars say, which takes an hour.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]
#![allow(clippy::print_stdout, reason = "the table is what people read")]

mod bed;
mod certificates;
mod control_plane;
mod damage;
mod install;
mod load;
mod own_registry;
mod removing;
mod rotation;
mod running;
mod stopping;
mod table;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
};

use berth_tests::{berth, kubelet::Kubelets};
use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::{
    bed::Bed,
    table::{HEAD, Row},
};

/// An experiment: what it is called, and what is done while Pods are created.
type Experiment = (&'static str, for<'b> fn(&'b Bed) -> LocalBoxFuture<'b, anyhow::Result<Vec<Row>>>);

/// All of them, in this order.
const ALL: &[Experiment] = &[
    ("installed", |bed| Box::pin(running::installed(bed))),
    ("rolling_restart", |bed| Box::pin(stopping::rolling_restart(bed))),
    ("drain", |bed| Box::pin(stopping::drain(bed))),
    ("no_grace", |bed| Box::pin(stopping::no_grace(bed))),
    ("upgrade", |bed| Box::pin(stopping::upgrade(bed))),
    ("production", |bed| Box::pin(running::production(bed))),
    ("own_registry", |bed| Box::pin(own_registry::comes_back(bed))),
    ("api_server", |bed| Box::pin(control_plane::restarts(bed))),
    ("rotations", |bed| Box::pin(rotation::rotations(bed))),
    ("dying_controllers", |bed| Box::pin(rotation::dying_controllers(bed))),
    ("secrets_damaged", |bed| Box::pin(damage::secrets_damaged(bed))),
    ("bundle_wiped", |bed| Box::pin(damage::bundle_wiped(bed))),
    ("removed", |bed| Box::pin(removing::removed(bed))),
];

fn main() -> ExitCode {
    let refused = Kubelets::prepare().and_then(|()| berth::image::prepare()).err();
    if let Some(reason) = &refused {
        // A closed standard error leaves nobody to tell.
        let _unheard = writeln!(io::stderr(), "skipped, because {reason:#}");
    }
    let story = Arc::new(Story::default());
    let trials = ALL.iter().map(|experiment| {
        let story = story.clone();
        Trial::test(experiment.0, move || story.run(experiment)).with_ignored_flag(refused.is_some())
    });
    // One after the other: what befalls Berth must be told apart.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    story.tell();
    conclusion.exit_code()
}

/// What is shared, made for the first experiment that is asked for.
#[derive(Default)]
struct Story {
    bed: OnceLock<Result<Bed, String>>,
    rows: Mutex<Vec<Row>>,
    runtime: OnceLock<Runtime>,
}

impl Story {
    fn run(&self, (_, run): &Experiment) -> Result<(), Failed> {
        let runtime = self.runtime.get_or_init(|| Runtime::new().unwrap());
        let bed = self.bed.get_or_init(|| runtime.block_on(Bed::make()).map_err(|error| format!("{error:#}")));
        let bed = bed.as_ref().map_err(|error| Failed::from(format!("nothing can be tried: {error}")))?;
        let kept = |error: String| {
            runtime.block_on(bed::keep(bed.cluster()));
            Failed::from(error)
        };
        let rows = runtime.block_on(run(bed)).map_err(|error| kept(format!("{error:#}")))?;
        let faults: Vec<_> = rows.iter().filter_map(Row::fault).collect();
        self.rows.lock().unwrap().extend(rows);
        if faults.is_empty() { Ok(()) } else { Err(kept(faults.join("\n"))) }
    }

    fn tell(&self) {
        let rows = self.rows.lock().unwrap();
        if !rows.is_empty() {
            println!("{HEAD}{}\n", rows.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    }
}

//! The seven situations on real nodes, each without Berth and with it, and each also with the Pods applied within a
//! second of the import or push. Prints one table of what came out.
//!
//! They run all at the same time on one cluster, as most of their time is waiting for the kubelets' lists of images.
//! Like `kubelets`, they need root and the features of Linux; elsewhere they are counted as ignored.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]
#![allow(clippy::print_stdout, reason = "the table is what people read")]

mod deploy;
mod docker_desktop;
mod doubtful;
mod harbor;
mod internal_registry;
mod k3s;
mod kind;
mod skaffold;
mod stage;
mod table;
mod tilt;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::OnceLock,
    time::Instant,
};

use berth_tests::{kubelet::Kubelets, processes::keep_all};
use futures::future::{LocalBoxFuture, join_all};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::{stage::Stage, table::Row};

/// A situation: what it is called, and what happens in it.
type Situation = (&'static str, for<'s> fn(&'s Stage) -> LocalBoxFuture<'s, anyhow::Result<Vec<Row>>>);

/// The seven in the order of the README, and what can be doubted of a node's list.
const ALL: [Situation; 10] = [
    ("k3s", |stage| Box::pin(k3s::run(stage))),
    ("docker_desktop", |stage| Box::pin(docker_desktop::run(stage))),
    ("kind", |stage| Box::pin(kind::run(stage))),
    ("skaffold", |stage| Box::pin(skaffold::run(stage))),
    ("tilt", |stage| Box::pin(tilt::run(stage))),
    ("internal_registry", |stage| Box::pin(internal_registry::run(stage))),
    ("harbor", |stage| Box::pin(harbor::run(stage))),
    ("contested", |stage| Box::pin(doubtful::contested(stage))),
    ("tagged", |stage| Box::pin(doubtful::tagged(stage))),
    ("removed", |stage| Box::pin(doubtful::removed(stage))),
];

fn main() -> ExitCode {
    let refused = Kubelets::prepare().err();
    if let Some(reason) = &refused {
        // A closed standard error leaves nobody to tell.
        let _unheard = writeln!(io::stderr(), "skipped, because {reason:#}");
    }
    let trials = ALL.iter().enumerate().map(|(number, (name, _))| {
        let run = move || match &outcomes()[number] {
            Ok(()) => Ok(()),
            Err(error) => Err(Failed::from(error)),
        };
        Trial::test(*name, run).with_ignored_flag(refused.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs all situations, once; the error of each.
fn outcomes() -> &'static [Result<(), String>] {
    static OUTCOMES: OnceLock<Vec<Result<(), String>>> = OnceLock::new();
    OUTCOMES.get_or_init(|| Runtime::new().unwrap().block_on(all()))
}

async fn all() -> Vec<Result<(), String>> {
    let began = Instant::now();
    let stage = match Stage::set().await {
        Ok(stage) => stage,
        Err(error) => return vec![Err(format!("the stage cannot be set: {error:#}")); ALL.len()],
    };
    println!("the stage is set after {:.1} s", began.elapsed().as_secs_f64());
    let told = join_all(ALL.map(|(_, run)| run(&stage))).await;
    let rows: Vec<_> = told.iter().flatten().flatten().collect();
    println!("{}all situations took {:.0} s", table::text(&rows), began.elapsed().as_secs_f64());
    let failed = told.iter().any(Result::is_err);
    if failed {
        keep_all();
    }
    told.into_iter().map(|told| told.map(drop).map_err(|error| format!("{error:#}"))).collect()
}

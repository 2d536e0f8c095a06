//! `berth config`: the configuration file.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow};

use super::{Failure, Outcome};
use crate::{config, registry::Keychain};

/// Work with a configuration file.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check a configuration file and the files that it names; say everything that is wrong or doubtful.
    Check(CheckArgs),
}

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs `berth config …`.
pub fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Check(args) => check(&args),
    }
}

fn check(args: &CheckArgs) -> Result<Outcome, Failure> {
    let (config, warnings) = config::load(&args.config).map_err(|error| Failure::Usage(anyhow!(error)))?;
    // What is behind the files that it names: keys that fit, programs that can be run.
    Keychain::read(&config).context("`credentials`").map_err(Failure::Usage)?;
    let mut out = io::stdout().lock();
    let mut print = |line: &str| writeln!(out, "{line}").context("standard output");
    let printed =
        warnings.iter().try_for_each(|warning| print(&format!("warning: {warning}"))).and_then(|()| print("ok"));
    printed.map_err(Failure::Unavailable)?;
    Ok(Outcome::Done)
}

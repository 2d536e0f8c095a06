//! `berth config`: the configuration file.

use anyhow::anyhow;

use super::{Failure, Outcome};

/// Work with a configuration file.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check a configuration file, and say what is wrong with it.
    Check(CheckArgs),
}

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {}

/// Runs `berth config …`.
pub async fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Check(_args) => Err(Failure::Unavailable(anyhow!("not written yet"))),
    }
}

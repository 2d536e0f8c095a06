//! `berth controller`: the one that writes.

use anyhow::anyhow;

use super::{Failure, Outcome};

/// Lift scheduling gates when a node has the image. The only command that writes to the cluster.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs until it is told to stop.
pub async fn run(_args: Args) -> Result<Outcome, Failure> {
    Err(Failure::Unavailable(anyhow!("not written yet")))
}

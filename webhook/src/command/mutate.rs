//! `berth mutate`: what would happen to the Pods in a manifest.

use anyhow::anyhow;

use super::{Failure, Outcome};

/// Show what would happen to the Pods and Pod templates in a manifest.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Writes the result to standard output.
pub async fn run(_args: Args) -> Result<Outcome, Failure> {
    Err(Failure::Unavailable(anyhow!("not written yet")))
}

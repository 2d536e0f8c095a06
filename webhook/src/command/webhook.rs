//! `berth webhook`: configure → build → bind → serve → drain.

use anyhow::anyhow;

use super::{Failure, Outcome};

/// Serve admission reviews over TLS. Reads the cluster, writes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Serves until it is told to stop.
pub async fn run(_args: Args) -> Result<Outcome, Failure> {
    Err(Failure::Unavailable(anyhow!("not written yet")))
}

//! `berth where`: which nodes hold an image, by the rules of the placement.

mod doubt;
mod follow;
mod notes;
mod rows;
mod seen;
mod table;

use std::{io, path::PathBuf};

use self::{
    rows::Report,
    seen::Seen,
    table::{Look, Table},
};
use super::{
    Failure, Outcome,
    cluster::Choice,
    configuration, nodes,
    terminal::{self, has_colour, print, say},
};
use crate::{image::Reference, nodes::Now};

/// Show which nodes hold an image, and where that is uncertain.
///
/// A node is a holder (it lists the image), told (berth load put it there just now), contested (it lists the image, and its
/// kubelet may refuse it), unknown (its list does not prove that the image is missing) or absent. The exit code is 1 where
/// no node is a holder or told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as Pods name it.
    #[arg(value_name = "IMAGE")]
    image: String,
    /// What is written to standard output.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Go on, and show what changes, until interrupted.
    #[arg(short, long, conflicts_with = "nodes")]
    watch: bool,
    /// The nodes: what `kubectl get nodes -o json` says. Without it, the nodes of the cluster.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    nodes: Option<PathBuf>,
    /// The configuration, for place.listLimit; without it, the default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    cluster: Choice,
}

/// What is written to standard output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// A table.
    Table,
    /// One JSON object; with --watch, one a line for each node that changes.
    Json,
}

/// Writes the table to standard output, and what is uncertain to standard error.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    let image: Reference = args.image.parse().map_err(|error| Failure::Usage(anyhow::Error::new(error)))?;
    let config = configuration::read(args.config.as_deref())?;
    let mut seen = Seen::new(image, config.place.list_limit);
    if let Some(file) = &args.nodes {
        seen.list(&nodes::read(file).map_err(Failure::Usage)?);
        return show(&seen, args.output);
    }
    let (client, server) = args.cluster.client().await?;
    // A cluster that says no, or nothing, is told of at once; afterwards a watch tries again for ever.
    seen.list(&nodes::ask(client.clone(), &server, "").await.map_err(Failure::Unavailable)?);
    if args.watch { follow::run(client, seen, args.output).await } else { show(&seen, args.output) }
}

fn show(seen: &Seen, output: Format) -> Result<Outcome, Failure> {
    let report = seen.report(Now::read());
    let (text, notes) = match output {
        Format::Json => (report.json(), Vec::new()),
        Format::Table => written(&report),
    };
    print(&text).map_err(|error| Failure::Unavailable(error.into()))?;
    for note in &notes {
        say(note);
    }
    Ok(if report.is_held() { Outcome::Done } else { Outcome::Missing })
}

/// The table for standard output as it is now, and the sentences below it.
fn written(report: &Report) -> (String, Vec<String>) {
    let look = match terminal::size(&io::stdout()) {
        Some((columns, _)) => Look::Terminal { columns, colour: has_colour(), now: report.now },
        None => Look::Pipe,
    };
    let table = Table::new(look, &report.rows);
    let notes = notes::below(report, table.left_out());
    (table.whole(&report.rows), notes)
}

#[cfg(test)]
mod tests;

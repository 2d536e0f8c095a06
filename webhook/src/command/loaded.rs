//! `berth loaded`: tells Berth that an image is on nodes, for people who load by a way of their own.

use anyhow::anyhow;
use futures::{StreamExt as _, stream};

use super::{
    Failure, Outcome,
    cluster::Choice,
    load::{self, Which},
    nodes,
    terminal::print,
};
use crate::{image::Digest, load::tell::tell, nodes::Load};

/// Tell Berth that an image was put on nodes, by another way than berth load.
///
/// It is noted at the Node (annotation berth.dev/loaded), and Berth knows it before the kubelet lists it, which takes up to
/// 40 s. Say it when the import is done; what is not listed after two minutes counts as absent again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as Pods name it: with a tag, without a digest.
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    which: Which,
    /// The image ID, which is the digest of its configuration (`docker image inspect --format '{{.Id}}'`): builds of one tag
    /// are told apart by it.
    #[arg(long, value_name = "sha256:…")]
    id: Option<Digest>,
    #[command(flatten)]
    cluster: Choice,
}

/// Writes each node's result to standard output.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    let image = load::image(&args.image).map_err(Failure::Usage)?;
    if args.which.nodes.is_empty() && args.which.selector.is_empty() {
        return Err(Failure::Usage(anyhow!("on which nodes? Say --node NAME, for each of them, or --selector")));
    }
    let (client, server) = args.cluster.client().await?;
    let listed = nodes::ask(client.clone(), &server, &args.which.selector).await.map_err(Failure::Unavailable)?;
    let names = load::chosen(&listed, &args.which).map_err(Failure::Usage)?;
    let load = Load { at: load::now(), id: args.id };
    let told = names.iter().map(|node| async { (node.name(), tell(&client, node.name(), &image, &load).await) });
    let mut told = stream::iter(told).buffered(AT_ONCE);
    let mut failed = Vec::new();
    while let Some((node, told)) = told.next().await {
        let line = match told {
            Ok(()) => format!("{node}: told\n"),
            Err(error) => {
                failed.push(node);
                format!("{node}: FAILED: {error}\n")
            }
        };
        print(&line).map_err(|error| Failure::Unavailable(error.into()))?;
    }
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(Failure::Unavailable(anyhow!(
        "{image}: {} of {} nodes FAILED: {}",
        failed.len(),
        names.len(),
        failed.join(", ")
    )))
}

/// Nodes told at the same time.
const AT_ONCE: usize = 8;

//! `berth load`: nodes → archive → check → import → tell. The archive is checked before any node sees it.

mod board;
mod plan;
mod source;

use std::{cell::Cell, num::NonZeroUsize, time::Duration};

use anyhow::anyhow;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::Client;
use tokio::time::{self, Instant, MissedTickBehavior};

pub(super) use self::plan::chosen;
use self::{
    board::Board,
    plan::Target,
    source::{Source, Taken},
};
use super::{
    Failure, Outcome,
    cluster::Choice,
    nodes,
    signals::Signals,
    terminal::{bytes, print, say},
};
use crate::{
    config::parse_duration,
    image::Reference,
    load::{
        import::import,
        tell::tell,
        via::{Preset, Via},
    },
    nodes::Load,
};

/// Put a local build on every node, and tell Berth at once.
///
/// The image is taken from Docker, Podman or an archive, checked, brought to each node by a command, protected there from
/// the kubelet's garbage collection, and noted at the Node (annotation berth.dev/loaded): Berth then knows it before the
/// kubelet lists it. A node that fails leaves the others loaded; the exit code is then 69.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as Pods name it: with a tag, without a digest.
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where the image is: docker, podman, an archive's FILE, or - for an archive on standard input. Without it, the first
    /// of Docker and Podman that has the image.
    #[arg(long, value_name = "docker|podman|FILE|-")]
    from: Option<String>,
    /// How an archive gets to a node: kind, k3d, k3s, docker-desktop, or a command that takes it at its standard input, as
    /// in 'ssh {node} sudo ctr -n k8s.io images import -'. It is split into words and run without a shell. Without it, as
    /// the nodes' provider IDs tell.
    #[arg(long, value_name = "COMMAND")]
    via: Option<String>,
    #[command(flatten)]
    which: Which,
    /// Nodes loaded at the same time.
    #[arg(long, value_name = "NUMBER", default_value = "4")]
    parallel: NonZeroUsize,
    /// How long a node may stand still before it is given up.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Leave the image to the kubelet's garbage collection, and the command without `--label`.
    #[arg(long)]
    no_protect: bool,
    /// Only print the commands, each after its node.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: Choice,
}

/// Which nodes.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Only this node; may be repeated.
    #[arg(long = "node", value_name = "NAME")]
    pub(super) nodes: Vec<String>,
    /// Only nodes with these labels, as for kubectl.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(super) selector: String,
}

/// Writes each node's result to standard output.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::Unavailable(error.into()))?;
    tokio::select! {
        ended = load(&args) => ended,
        // What runs is ended by being dropped.
        signal = signals.first() => Err(Failure::Unavailable(anyhow!("{signal}: nodes without a result were not loaded"))),
    }
}

async fn load(args: &Args) -> Result<Outcome, Failure> {
    let image = image(&args.image).map_err(Failure::Usage)?;
    let via = via(args).map_err(Failure::Usage)?;
    let (client, server) = args.cluster.client().await?;
    let listed = nodes::ask(client.clone(), &server, &args.which.selector).await.map_err(Failure::Unavailable)?;
    let targets = plan::targets(&listed, &args.which, via.as_ref(), !args.no_protect).map_err(Failure::Usage)?;
    if args.dry_run {
        let lines: String = targets.iter().map(Target::line).collect();
        return print(&lines).map(|()| Outcome::Done).map_err(|error| Failure::Unavailable(error.into()));
    }
    let source = match &args.from {
        Some(from) => Source::named(from),
        None => source::find(&image).await?,
    };
    let taken = source.take(&image).await?;
    let targets = for_whom_it_is_built(&targets, &taken);
    say(&format!("{image}: {} from {source}, to {}", bytes(taken.spooled.length), counted(targets.len())));
    let failed = all(args, &client, &image, &targets, &taken).await;
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    let (of, names) = (targets.len(), failed.join(", "));
    Err(Failure::Unavailable(anyhow!("{image}: {} of {of} nodes FAILED: {names}", failed.len())))
}

/// The nodes for whose architecture there is a build; the others are said to be skipped, for Pods must not be sent there.
/// Where there are only others they stay: they may emulate what they are not.
fn for_whom_it_is_built<'a>(targets: &'a [Target], taken: &Taken) -> Vec<&'a Target> {
    let (strangers, own): (Vec<_>, Vec<_>) = targets.iter().partition(|target| target.is_strange_to(&taken.builds));
    if own.is_empty() {
        for target in &strangers {
            say(&format!("warning: {}: {}", target.name, target.mismatch(&taken.builds)));
        }
        return strangers;
    }
    for target in strangers {
        // Whoever reads it may have stopped; the others are loaded anyway.
        let _unread = print(&format!("{}: skipped: {}\n", target.name, target.mismatch(&taken.builds)));
    }
    own
}

/// Brings the archive to all nodes, and returns the names of those that failed.
async fn all<'a>(
    args: &Args,
    client: &Client,
    image: &Reference,
    targets: &[&'a Target],
    taken: &Taken,
) -> Vec<&'a str> {
    let board = Board::new(taken.spooled.length, targets.len());
    let loads = targets.iter().map(|target| {
        let (board, target) = (&board, *target);
        async move {
            let (taking, began) = (board.begin(&target.name), Instant::now());
            let ended = one(args, client, image, target, taken, &taking).await;
            (target, ended.map(|()| began.elapsed()))
        }
    });
    let mut loads = stream::iter(loads).buffer_unordered(args.parallel.get());
    let mut ticks = time::interval(DRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut failed = Vec::new();
    loop {
        tokio::select! {
            ended = loads.next() => match ended {
                Some((target, ended)) => {
                    if ended.is_err() {
                        failed.push(target.name.as_str());
                    }
                    board.end(&target.name, &ended);
                }
                None => return failed,
            },
            _ = ticks.tick() => board.draw(),
        }
    }
}

/// Brings the archive to one node, and tells Berth.
async fn one(
    args: &Args,
    client: &Client,
    image: &Reference,
    target: &Target,
    taken: &Taken,
    taking: &Cell<u64>,
) -> Result<(), String> {
    let imported = import(&target.command, &taken.spooled, args.timeout, |bytes| taking.set(bytes)).await;
    imported.map_err(|error| format!("FAILED: {error}"))?;
    let load = Load { at: now(), id: plan::id(&taken.builds, &target.architecture).cloned() };
    let told = tell(client, &target.name, image, &load).await;
    told.map_err(|error| format!("loaded, but Berth could not be told: {error}"))
}

/// The name that Pods use.
pub(super) fn image(text: &str) -> anyhow::Result<Reference> {
    let image: Reference = text.parse()?;
    if image.digest().is_some() {
        return Err(anyhow!("{image}: what is loaded is found by its tag alone, leave the digest out"));
    }
    Ok(image)
}

/// Now, to the millisecond: nobody needs more.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// What was said about how nodes are reached.
enum How {
    Preset(Preset),
    Command(Via),
}

fn via(args: &Args) -> anyhow::Result<Option<How>> {
    let Some(text) = &args.via else { return Ok(None) };
    if let Some(preset) = Preset::named(text) {
        return Ok(Some(How::Preset(preset)));
    }
    Via::parse(text).map(|via| Some(How::Command(via))).map_err(|error| anyhow!("--via: {error}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "not a duration: numbers with units, as in `90s`, `5m`".to_owned())
}

fn counted(nodes: usize) -> String {
    if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") }
}

/// Time between two pictures of the progress.
const DRAW_EVERY: Duration = Duration::from_millis(200);

//! `berth mutate`: read → nodes → decide → show. The decision is the review's own.

mod decide;
mod nodes;
mod report;
mod show;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use self::{nodes::Cluster, show::Format};
use super::{
    Failure, Outcome, cluster, configuration,
    terminal::{has_colour, print, say},
};
use crate::{
    admission::App,
    config::{Config, LocalRegistry},
    manifest::Manifest,
    nodes::Heartbeat,
    registry::{Client, Keychain, Shared},
    telemetry::Metrics,
};

/// Show what would happen to the Pods and Pod templates in a manifest.
///
/// In templates images and pull policies are written, and where the Pods could run is only told: that is a fact of the
/// moment, and does not belong in a file. As YAML only the bytes of images and pull policies change; a Pod's affinity
/// and annotations are shown by the outputs json and patch.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest, in YAML or JSON; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// What is written to standard output.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
    /// The configuration; without it, production's defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The nodes: what `kubectl get nodes -o json` says. Without it, the nodes of the current kubeconfig's cluster.
    #[arg(long, value_name = "FILE", conflicts_with = "without_cluster")]
    nodes: Option<PathBuf>,
    /// Ask no cluster: then images are not compared with what nodes hold.
    #[arg(long)]
    without_cluster: bool,
}

/// Writes the result to standard output, and what people should know to standard error.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    let name = if is_stdin(&args.filename) { "stdin".to_owned() } else { args.filename.display().to_string() };
    let bytes = read(&args.filename).map_err(Failure::Usage)?;
    let manifest = Manifest::parse(bytes).map_err(|error| Failure::Usage(anyhow!("{name}:{error}")))?;
    let config = configuration::read(args.config.as_deref())?;
    let subjects = manifest.subjects();
    if subjects.is_empty() {
        say(&format!("{name}: no Pod and no Pod template"));
    }
    let known = known(&args, &config, !subjects.is_empty()).await?;
    let app = app(config.with_local(&known.local), &known).map_err(Failure::Usage)?;
    let decided = decide::all(&app, &manifest, subjects, &known.namespace).await;
    app.registry.finished().await;
    let decided = decided.map_err(|error| Failure::Usage(anyhow!("{name}:{error}")))?;

    let rewritten = manifest.rewrite(&decide::changes(&manifest, &decided));
    for line in report::lines(&decided, args.output, &rewritten) {
        say(&line);
    }
    let text = match args.output {
        Format::Yaml => rewritten.text,
        Format::Diff if has_colour() => show::painted(&manifest.diff(&name, &rewritten)),
        Format::Diff => manifest.diff(&name, &rewritten),
        Format::Json => show::json(&manifest, &decided),
        Format::Patch => show::patches(&decided),
    };
    print(&text).context("standard output").map_err(Failure::Unavailable)?;
    let denied = decided.iter().any(|decided| decided.verdict.denied.is_some());
    Ok(if denied { Outcome::Found } else { Outcome::Done })
}

/// What is known of the cluster; nothing is asked where there is nothing to decide.
async fn known(args: &Args, config: &Config, needed: bool) -> Result<Cluster, Failure> {
    let list_limit = config.place.list_limit;
    if let Some(file) = &args.nodes {
        return nodes::read(file, list_limit).map_err(Failure::Usage);
    }
    if args.without_cluster || !needed {
        return Ok(Cluster::default());
    }
    let mut known = match nodes::ask(list_limit).await {
        Ok(known) => known,
        Err(error) => {
            say(&format!(
                "images are not compared with what nodes hold: {error:#} (see --nodes and --without-cluster)"
            ));
            return Ok(Cluster::default());
        }
    };
    if config.local_registry == LocalRegistry::Trust {
        match nodes::local_registry().await {
            Ok(local) => known.local = local,
            Err(error) => say(&format!("the cluster's local registry is not known: {error:#}")),
        }
    }
    Ok(known)
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if !is_stdin(file) {
        return fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).context("standard input cannot be read")?;
    Ok(bytes)
}

/// The webhook's own, as if it ran in this cluster together with a controller.
fn app(config: Config, known: &Cluster) -> anyhow::Result<App<Shared<Client>>> {
    let metrics = Arc::new(Metrics::new(&config));
    // One run is one moment: an image that stands in several places gets one digest.
    let registry = Shared::new(Client::new(&config, Arc::clone(&metrics))?, config.pin.max_age.max(ONE_RUN));
    Ok(App {
        keychain: Keychain::read(&config)?,
        pull_secrets: None,
        config: Arc::new(config),
        registry,
        nodes: known.nodes.clone(),
        namespaces: None,
        controller: Some(Arc::new(Heartbeat::fixed(Instant::now()))),
        own_namespace: cluster::USUAL_NAMESPACE.to_owned(),
        metrics,
    })
}

/// Longer than any run lasts.
const ONE_RUN: Duration = Duration::from_secs(3600);

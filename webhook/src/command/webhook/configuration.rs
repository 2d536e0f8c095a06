//! The configuration file: read at start, and again when its content changes.

use std::{future, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{fs, time};
use tracing::{error, info, warn};

use super::build::{self, Cluster, Rules};
use crate::{
    config::{self, Config},
    telemetry::Metrics,
};

/// Where the configuration comes from.
#[derive(Debug)]
pub(super) struct Source {
    path: Option<PathBuf>,
}

impl Source {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// Reads and checks it; what is only doubtful is logged.
    pub(super) fn load(&self) -> anyhow::Result<Config> {
        let Some(path) = &self.path else { return Ok(Config::default()) };
        let (config, warnings) = config::load(path)?;
        for warning in warnings {
            warn!(%warning, "configuration");
        }
        Ok(config)
    }

    /// Puts each new content into force as a whole, for ever. A broken one is reported, and the last good one stays.
    pub(super) async fn follow(&self, rules: &ArcSwap<Rules>, cluster: Option<&Cluster>, metrics: &Arc<Metrics>) {
        let Some(path) = &self.path else { return future::pending().await };
        let mut seen = fs::read(path).await.ok();
        loop {
            time::sleep(LOOK_EVERY).await;
            let content = fs::read(path).await.ok();
            if content == seen {
                continue;
            }
            seen = content;
            match self.load().and_then(|config| build::rules(config, cluster, metrics.clone())) {
                Ok(new) => {
                    if needs_restart(&rules.load().config, &new.config) {
                        warn!("limits and place.listLimit are in force after a restart only");
                    }
                    metrics.configured(&new.config);
                    rules.store(Arc::new(new));
                    info!(file = %path.display(), "a new configuration is in force");
                }
                Err(error) => {
                    metrics.configuration_broken();
                    error!(
                        error = format!("{error:#}"),
                        "the configuration is broken; the last good one stays in force"
                    );
                }
            }
        }
    }
}

/// What is built once cannot follow.
fn needs_restart(old: &Config, new: &Config) -> bool {
    let fixed = |config: &Config| {
        let limits = config.limits;
        (limits.reviews_in_flight, limits.body_bytes, limits.bodies_bytes, config.place.list_limit)
    };
    fixed(old) != fixed(new)
}

/// A `ConfigMap` reaches a Pod within a minute or two anyhow.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    const GOOD: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";

    #[tokio::test(start_paused = true)]
    async fn a_new_configuration_is_in_force_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let write = |text: &str| std::fs::write(&path, [GOOD, text].concat()).unwrap();
        write("pin: { onFailure: admit }\n");
        let source = Source::new(Some(path.clone()));
        let metrics = Arc::new(Metrics::default());
        let rules = build::rules(source.load().unwrap(), None, metrics.clone()).unwrap();
        let rules = Arc::new(ArcSwap::from_pointee(rules));
        let mut tasks = JoinSet::new();
        let (followed, counted) = (rules.clone(), metrics.clone());
        tasks.spawn(async move { source.follow(&followed, None, &counted).await });
        let look = async |valid: bool, want: config::OnFailure| {
            time::sleep(2 * LOOK_EVERY).await;
            assert_eq!(rules.load().config.pin.on_failure, want);
            let text = metrics.encode().unwrap();
            assert!(text.contains(&format!("berth_configuration_valid {}\n", u8::from(valid))), "{text}");
        };
        metrics.configured(&rules.load().config);
        look(true, config::OnFailure::Admit).await;
        write("pin: { onFailure: deny }\n");
        look(true, config::OnFailure::Deny).await;
        write("pin: { onFailure: perhaps }\n");
        look(false, config::OnFailure::Deny).await;
        std::fs::remove_file(&path).unwrap();
        look(false, config::OnFailure::Deny).await;
        write("pin: { onFailure: admit }\n");
        look(true, config::OnFailure::Admit).await;
    }
}

//! The configuration file: read at start, and again when its content changes.

use std::{future, path::PathBuf, time::Duration};

use tokio::{fs, time};
use tracing::{error, info, warn};

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

    /// Puts each new content into force as a whole, for ever. A broken one, or one that `put` finds fault with, is
    /// reported, and the last good one stays.
    pub(super) async fn follow(&self, metrics: &Metrics, put: impl Fn(Config) -> anyhow::Result<()>) {
        let Some(path) = &self.path else { return future::pending().await };
        let mut seen = fs::read(path).await.ok();
        loop {
            time::sleep(LOOK_EVERY).await;
            let content = fs::read(path).await.ok();
            if content == seen {
                continue;
            }
            seen = content;
            match self.load().and_then(|config| put(config.clone()).map(|()| config)) {
                Ok(config) => {
                    metrics.configured(&config);
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

/// A `ConfigMap` reaches a Pod within a minute or two anyhow.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;
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
        let in_force = Arc::new(ArcSwap::from_pointee(source.load().unwrap()));
        let mut tasks = JoinSet::new();
        let (followed, counted) = (in_force.clone(), metrics.clone());
        tasks.spawn(async move {
            let put = |config| {
                followed.store(Arc::new(config));
                Ok(())
            };
            source.follow(&counted, put).await;
        });
        let look = async |valid: bool, want: config::OnFailure| {
            time::sleep(2 * LOOK_EVERY).await;
            assert_eq!(in_force.load().pin.on_failure, want);
            let text = metrics.encode().unwrap();
            assert!(text.contains(&format!("berth_configuration_valid {}\n", u8::from(valid))), "{text}");
        };
        metrics.configured(&in_force.load());
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

//! The configuration: read at start, and again when it or a file that it names has another content.

use std::{
    future,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task, time};
use tracing::{error, info, warn};

use super::{Failure, terminal::say};
use crate::{
    config::{self, Config, Files, Warning},
    telemetry::Metrics,
};

/// Reads and checks it once, for a person: what is only doubtful is said. Without a file it is the default.
pub(super) fn read(file: Option<&Path>) -> Result<Config, Failure> {
    let Some(file) = file else { return Ok(Config::default()) };
    let (config, warnings) = config::load(file).map_err(|error| Failure::Usage(error.into()))?;
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    Ok(config)
}

/// Where the configuration comes from.
#[derive(Debug)]
pub(super) struct Source {
    path: Option<PathBuf>,
    /// The files of what is in force, as they were; none where the last attempt failed.
    seen: Option<Files>,
}

impl Source {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, seen: None }
    }

    /// Reads and checks it; what is only doubtful is logged.
    pub(super) fn load(&mut self) -> anyhow::Result<Config> {
        let Some(path) = &self.path else { return Ok(Config::default()) };
        let (config, warnings) = config::load(path)?;
        tell(warnings);
        self.seen = Some(config.files.clone());
        Ok(config)
    }

    /// Puts each new content into force as a whole, for ever. A broken one, or one that `put` finds fault with, is
    /// reported, the last good one stays, and it is tried again: what was wrong may be outside of the files.
    pub(super) async fn follow(mut self, metrics: &Metrics, put: impl Fn(Config) -> anyhow::Result<()>) {
        let Some(path) = self.path.take() else { return future::pending().await };
        let mut told = String::new();
        loop {
            time::sleep(LOOK_EVERY).await;
            if !changed(self.seen.clone()).await {
                continue;
            }
            let read = config::load(&path).map_err(anyhow::Error::from);
            let read = read.and_then(|(config, warnings)| put(config.clone()).map(|()| (config, warnings)));
            match read {
                Ok((config, warnings)) => {
                    metrics.configured(&config);
                    tell(warnings);
                    info!(file = %path.display(), "a new configuration is in force");
                    self.seen = Some(config.files);
                    told.clear();
                }
                Err(error) => {
                    metrics.configuration_broken();
                    self.seen = None;
                    let error = format!("{error:#}");
                    if error != told {
                        error!(error, "the configuration is broken; the last good one stays in force");
                        told = error;
                    }
                }
            }
        }
    }
}

fn tell(warnings: Vec<Warning>) {
    for warning in warnings {
        warn!(%warning, "configuration");
    }
}

/// Whether the files have another content, or are not known.
async fn changed(files: Option<Files>) -> bool {
    let Some(files) = files else { return true };
    task::spawn_blocking(move || files.changed()).await.unwrap_or(true)
}

/// A `ConfigMap` reaches a Pod within a minute or two anyhow.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt as _,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use arc_swap::ArcSwap;
    use tokio::task::JoinSet;

    use super::*;
    use crate::registry::Keychain;

    const GOOD: &str = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";

    #[tokio::test(start_paused = true)]
    async fn a_new_configuration_is_in_force_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let write = |text: &str| std::fs::write(&path, [GOOD, text].concat()).unwrap();
        write("pin: { onFailure: admit }\n");
        let mut source = Source::new(Some(path.clone()));
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

    #[tokio::test(start_paused = true)]
    async fn a_file_that_it_names_counts_as_much() {
        let directory = tempfile::tempdir().unwrap();
        let [path, named] = ["config.yaml", "login.json"].map(|name| directory.path().join(name));
        let credentials = format!("credentials: [{{ dockerConfigFile: {} }}]\n", named.display());
        std::fs::write(&path, [GOOD, &credentials].concat()).unwrap();
        std::fs::write(&named, "{}").unwrap();
        let mut source = Source::new(Some(path));
        let metrics = Arc::new(Metrics::default());
        metrics.configured(&source.load().unwrap());
        std::fs::write(&named, "{ }").unwrap(); // before anybody looks, and yet after it was read
        let (put, counted) = (Arc::new(AtomicUsize::new(0)), metrics.clone());
        let count = put.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // As building the rules does: it reads what is named, and may find fault with it.
            let put = |config: Config| {
                Keychain::read(&config)?;
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            source.follow(&counted, put).await;
        });
        let look = async |valid: bool, want: usize| {
            time::sleep(3 * LOOK_EVERY).await;
            assert_eq!(put.load(Ordering::Relaxed), want);
            let text = metrics.encode().unwrap();
            assert!(text.contains(&format!("berth_configuration_valid {}\n", u8::from(valid))), "{text}");
        };
        look(true, 1).await;
        look(true, 1).await;
        std::fs::write(&named, r#"{"auths": {"reg.example": {"auth": "wrong"}}}"#).unwrap();
        look(false, 1).await;
        std::fs::write(&named, r#"{"auths": {}}"#).unwrap();
        look(true, 2).await;
        std::fs::remove_file(&named).unwrap();
        look(false, 2).await;
        std::fs::write(&named, r#"{"auths": {}}"#).unwrap();
        look(true, 3).await;
        // What is wrong may be outside of the files: a program that is not there yet.
        let program = directory.path().join("program");
        std::fs::write(&named, format!(r#"{{"credsStore": "{}"}}"#, program.display())).unwrap();
        look(false, 3).await;
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        look(true, 4).await;
    }
}

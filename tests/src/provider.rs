//! Credential providers as programs: a kubelet's plugins, and docker's credential helpers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
pub use berth_tests_provider::{Answer, Credential, Run, Settings};
use berth_tests_provider::{runs_of, settings_of};
use serde_json::json;

use crate::{binary, processes::Folder};

/// An installed program.
pub struct Provider {
    program: PathBuf,
    folder: Folder,
}

impl Provider {
    /// Installs it under `name` in a folder of its own; builds it if need be.
    pub async fn install(name: &str, settings: &Settings) -> anyhow::Result<Self> {
        let folder = Folder::new("provider")?;
        let programs = folder.path().join("bin");
        fs::create_dir(&programs)?;
        let provider = Self { program: programs.join(name), folder };
        let built = binary::path("credential-provider").await?;
        // A copy that another process of ours inherits open for writing, while it forks, could not be started.
        let linked =
            fs::hard_link(&built, &provider.program).or_else(|_| fs::copy(&built, &provider.program).map(drop));
        linked.with_context(|| format!("cannot install {}", built.display()))?;
        provider.set(settings)?;
        Ok(provider)
    }

    /// The program, by its absolute path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The folder that programs like it are in: a kubelet's `--image-credential-provider-bin-dir`.
    pub fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("/"))
    }

    /// Does this from now on.
    pub fn set(&self, settings: &Settings) -> anyhow::Result<()> {
        // Renamed, so that nobody reads half of it.
        let new = self.folder.write("new.json", serde_json::to_string(settings)?)?;
        Ok(fs::rename(new, settings_of(&self.program))?)
    }

    /// Each time it was started, in order.
    pub fn runs(&self) -> anyhow::Result<Vec<Run>> {
        let path = runs_of(&self.program);
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// A kubelet's `--image-credential-provider-config` with this one for images that match, and its path.
    pub fn configuration(&self, match_images: &[&str], default_cache_duration: &str) -> anyhow::Result<PathBuf> {
        let configuration = json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [{
                "name": self.program.file_name().unwrap_or_default().to_string_lossy(),
                "matchImages": match_images,
                "defaultCacheDuration": default_cache_duration,
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                "args": ["get-credentials"],
                "env": [{ "name": "AWS_PROFILE", "value": "berth-tests" }],
            }],
        });
        self.folder.write("config.yaml", configuration.to_string())
    }
}

#[cfg(test)]
mod tests;

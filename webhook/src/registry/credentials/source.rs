//! Where credentials of the administrator's come from: files, and the programs that they name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::task::TaskTracker;

use super::{
    Candidate,
    docker::DockerFile,
    inquiry::Inquiry,
    keyring::{self, Keyring},
    program::Program,
    provider::{GET, Language, Name, Provider},
    scope::Scope,
};
use crate::config::{self, CredentialSource};

/// What one entry of `credentials` names.
#[derive(Debug)]
pub(super) enum Source {
    /// A Docker configuration.
    Docker {
        /// The most specific first; the first that is for an image is asked, and before the keyring: that is Docker's
        /// order.
        providers: Vec<Arc<Provider>>,
        /// The logins in the file itself.
        keyring: Keyring,
    },
    /// A kubelet's providers: all that are for an image are asked.
    Kubelet(Vec<Arc<Provider>>),
}

impl Source {
    /// Reads the files of `source`; runs of its programs are tasks of `tasks`.
    pub(super) fn read(source: &CredentialSource, tasks: &TaskTracker) -> Result<Self, CredentialsError> {
        match source {
            CredentialSource::DockerConfig(file) => Self::docker(file, tasks),
            CredentialSource::Providers { config, bin_dir } => Self::kubelet(config, bin_dir, tasks),
        }
    }

    /// What there is for the image `name`, in the order in which it is to be tried.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Candidate> {
        let (providers, wanted, known) = match self {
            Self::Docker { providers, keyring } => (providers, 1, keyring.candidates(name)),
            Self::Kubelet(providers) => (providers, providers.len(), Vec::new()),
        };
        let covering = providers.iter().filter(|provider| provider.covers(name));
        let inquiry = Inquiry::new(covering.take(wanted).cloned().collect(), name.clone());
        inquiry.map(Candidate::Asked).into_iter().chain(known).collect()
    }

    fn docker(file: &Path, tasks: &TaskTracker) -> Result<Self, CredentialsError> {
        let unreadable = |source| CredentialsError::Unreadable { file: file.to_owned(), source };
        let broken = |reason| CredentialsError::Broken { file: file.to_owned(), reason };
        let DockerFile { auths, cred_helpers, creds_store } =
            DockerFile::parse(&fs::read(file).map_err(unreadable)?).map_err(broken)?;
        let keyring = Keyring::of_file(auths).map_err(broken)?;
        let mut programs = Vec::new();
        for (server, path) in cred_helpers {
            programs.push((vec![helped(&server).map_err(broken)?], path));
        }
        programs.sort_by(|(one, _), (other, _)| other.iter().map(Scope::key).cmp(one.iter().map(Scope::key)));
        if let Some(store) = creds_store.filter(|store| !store.is_empty()) {
            programs.push((Vec::new(), store));
        }
        let mut providers = Vec::new();
        for (scopes, path) in programs {
            let path = absolute(path).map_err(broken)?;
            let program = checked(Program { path, args: vec![GET.to_owned()], env: Vec::new() })?;
            providers.push(Arc::new(Provider::new(program, Language::Docker, scopes, tasks.clone())));
        }
        Ok(Self::Docker { providers, keyring })
    }

    fn kubelet(file: &Path, folder: &Path, tasks: &TaskTracker) -> Result<Self, CredentialsError> {
        let broken = |reason| CredentialsError::Broken { file: file.to_owned(), reason };
        let mut providers = Vec::new();
        for provider in config::load_providers(file)? {
            let config::Provider { name, match_images, default_cache_duration, api_version, args, env } = provider;
            let scopes = match_images.iter().map(|image| Scope::parse(image)).collect::<Result<_, _>>();
            let program = checked(Program { path: folder.join(name), args, env })?;
            let language = Language::Kubelet { version: api_version, default_duration: default_cache_duration };
            providers.push(Arc::new(Provider::new(program, language, scopes.map_err(broken)?, tasks.clone())));
        }
        Ok(Self::Kubelet(providers))
    }
}

/// A key of `credHelpers`; Docker Hub's old address means Docker Hub.
fn helped(server: &str) -> Result<Scope, String> {
    let scope = Scope::parse_server(server)?;
    if scope.key() == keyring::OLD_DOCKER_HUB { Scope::parse(keyring::DOCKER_HUB) } else { Ok(scope) }
}

/// Docker finds programs by a part of their name, wherever `PATH` leads; Berth runs only what is named in full.
fn absolute(path: String) -> Result<PathBuf, String> {
    if path.starts_with('/') {
        return Ok(path.into());
    }
    let name = path.escape_debug();
    Err(format!("`{name}` is no absolute path; write the program's, as in `/opt/berth/docker-credential-{name}`"))
}

fn checked(program: Program) -> Result<Program, CredentialsError> {
    match program.problem() {
        Some(reason) => Err(CredentialsError::Program { program: program.path, reason }),
        None => Ok(program),
    }
}

/// Credentials of the administrator's that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("the credentials file {} cannot be read", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("the credentials file {} cannot be used: {reason}", .file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong and where, without any of the text.
        reason: String,
    },
    /// A kubelet's file about its providers is wrong.
    #[error(transparent)]
    Providers(#[from] config::ConfigError),
    /// A program that gives credentials cannot be run.
    #[error("the program {} for credentials cannot be run: {reason}", .program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests;

//! `credentials:`, `pullSecrets:` and what else says whom Berth may ask, and as whom.

use std::path::PathBuf;

use super::{
    section::{Content, Section},
    value,
    yaml::Value,
};

/// One entry of `credentials`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// Namespaces whose Pods it serves; empty: all.
    pub namespaces: Vec<String>,
    /// Where they come from.
    pub source: CredentialSource,
}

/// Where credentials come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CredentialSource {
    /// A docker `config.json`, or the older `.dockercfg`.
    DockerConfig(PathBuf),
    /// Plugins that speak the kubelet's credential provider API.
    Providers {
        /// The `CredentialProviderConfig`.
        config: PathBuf,
        /// The folder with the programs.
        bin_dir: PathBuf,
    },
}

impl Credentials {
    pub(super) fn read(mut section: Section<'_, '_>) -> Option<Self> {
        let namespaces = section.list("namespaces", value::object_name).unwrap_or_default();
        let file = section.file("dockerConfigFile", Content::DockerConfig);
        let mut providers = section.section("providers");
        let given = providers.given();
        let programs = given.then(|| {
            let config = providers.required_file("config", Content::ProviderConfig);
            let bin_dir = providers.required("binDir", "/opt/berth/providers", value::path);
            config.zip(bin_dir).map(|(config, bin_dir)| CredentialSource::Providers { config, bin_dir })
        });
        providers.finish();
        let source = match (file, programs) {
            (Some(file), None) => Some(CredentialSource::DockerConfig(file)),
            (None, Some(programs)) => programs,
            (Some(_), Some(_)) => {
                section.error("providers", "it stands beside `dockerConfigFile`; give each its own entry");
                None
            }
            (None, None) => {
                if !section.has("dockerConfigFile") {
                    section.error("dockerConfigFile", "it is missing; write `dockerConfigFile: FILE`, or `providers:`");
                }
                None
            }
        };
        section.finish();
        Some(Self { namespaces, source: source? })
    }
}

/// Pull secrets of Pods, and who may have them used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PullSecrets {
    /// Read the pull secrets that a Pod names.
    pub enabled: bool,
    /// Whose certificates prove a caller, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// The names in such a certificate that are API servers'.
    pub client_names: Vec<String>,
}

impl PullSecrets {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let secrets = Self {
            enabled: section.value("enabled", value::boolean).unwrap_or(false),
            client_ca_file: section.file("clientCAFile", Content::Authorities),
            client_names: section.list("clientNames", client_name).unwrap_or_default(),
        };
        let (authority, names) = (section.has("clientCAFile"), !secrets.client_names.is_empty());
        if authority != names {
            let key = if authority { "clientNames" } else { "clientCAFile" };
            section.error(
                key,
                "it is missing: a certificate alone proves nothing, as every kubelet has one of the cluster's; give both `clientCAFile` and `clientNames`",
            );
        } else if secrets.enabled && !authority {
            section.error(
                "enabled",
                "pull secrets are used only for proven callers: give `clientCAFile` and `clientNames`",
            );
        }
        section.finish();
        secrets
    }

    /// Whether callers can prove themselves at all.
    pub fn provable(&self) -> bool {
        self.client_ca_file.is_some()
    }
}

/// A name as it stands in the certificate of an API server.
fn client_name(value: &Value) -> Result<String, String> {
    let text = value::text(value)?;
    if text.contains('*') {
        return Err(format!(
            "{} is no name: the common name, a DNS name or a URI of the certificate, compared exactly",
            value.describe()
        ));
    }
    Ok(text.to_owned())
}

/// What `kube-public`'s `local-registry-hosting` counts for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LocalRegistry {
    /// Nothing.
    Ignore,
    /// As much as an entry of `registries`.
    Trust,
}

/// Registries that the configuration does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnlistedRegistries {
    /// They are asked where they are public.
    Allow,
    /// They are never asked.
    Deny,
}

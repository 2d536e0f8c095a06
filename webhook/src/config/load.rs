//! From a file to a checked [`Config`], or to the list of all that is wrong with it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use berth_cert_manager::authorities;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{
    Config, Files, providers,
    section::{Content, Findings, NamedFile, Section},
    value, yaml,
};

/// Reads and checks the configuration in the file `path`, and the files that it names.
///
/// # Errors
/// [`ConfigError`], whose text is complete: it names the file, and for each mistake the line, the key and what would
/// be right.
pub fn load(path: &Path) -> Result<(Config, Vec<Warning>), ConfigError> {
    let unreadable = |error: io::Error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let (mut config, named, warnings) = check(&text, &path.display().to_string(), file_problem)?;
    config.files = Files::new(path, &text, named.into_iter().map(|named| named.path));
    Ok((config, warnings))
}

/// The same for a text; `name` stands for the file in messages, and files that the configuration names stay closed.
///
/// # Errors
/// As for [`load`].
pub fn parse(text: &str, name: &str) -> Result<(Config, Vec<Warning>), ConfigError> {
    let (config, _, warnings) = check(text, name, |_| None)?;
    Ok((config, warnings))
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file says something that cannot be used: all of it, in the file's order.
    #[error("{}", lines(.file, .findings))]
    Wrong {
        /// The file.
        file: String,
        /// Every mistake.
        findings: Vec<Finding>,
    },
}

/// One remark about a line of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// From 1.
    pub line: u64,
    /// `pin.onFailure`, `mirror.rules[1].source`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.line)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.text)
    }
}

/// Something that works, but probably not as it was meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// The remark.
    pub finding: Finding,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.finding)
    }
}

/// Which defaults apply where the file says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Profile {
    /// Proof before force.
    Production,
    /// For kind, k3s and Docker Desktop, where images are built next to the cluster.
    Dev,
}

fn check(
    text: &str,
    file: &str,
    file_problem: fn(&NamedFile) -> Option<String>,
) -> Result<(Config, Vec<NamedFile>, Vec<Warning>), ConfigError> {
    let wrong = |findings| wrong(file.to_owned(), findings);
    let node = yaml::read(text).map_err(|error| wrong(vec![error.finding()]))?;
    let mut findings = Findings::default();
    let config = document(Section::root(Some(&node), &mut findings));
    for named in &findings.files {
        findings.errors.extend(file_problem(named).map(|problem| named.place.finding(problem)));
    }
    if !findings.errors.is_empty() {
        return Err(wrong(findings.errors));
    }
    let warning = |finding| Warning { file: file.to_owned(), finding };
    Ok((config, findings.files, findings.warnings.into_iter().map(warning).collect()))
}

/// All that is wrong with `file`, in its order.
pub(super) fn wrong(file: String, mut findings: Vec<Finding>) -> ConfigError {
    findings.sort_by_key(|finding| finding.line);
    ConfigError::Wrong { file, findings }
}

/// The whole file: what it is, which profile, and then the sections.
fn document(mut root: Section<'_, '_>) -> Config {
    let _: Option<()> = root.required("apiVersion", API_VERSION, value::choice(&[(API_VERSION, ())]));
    let _: Option<()> = root.required("kind", KIND, value::choice(&[(KIND, ())]));
    let profiles = [("production", Profile::Production), ("dev", Profile::Dev)];
    let profile = root.value("profile", value::choice(&profiles)).unwrap_or(Profile::Production);
    Config::read(root, profile)
}

/// Why a file that the configuration names cannot be used.
fn file_problem(named: &NamedFile) -> Option<String> {
    let path = named.path.display();
    let content = match fs::read(&named.path) {
        Ok(content) => content,
        Err(error) => return Some(format!("`{path}` cannot be read: {error}")),
    };
    match named.content {
        Content::Certificates => {
            let certificates = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
            let usable = certificates.is_ok_and(|certificates| !certificates.is_empty());
            (!usable).then(|| format!("`{path}` holds no certificates in PEM (`-----BEGIN CERTIFICATE-----`)"))
        }
        Content::Authorities => {
            let usable = str::from_utf8(&content).is_ok_and(|text| authorities(text, SystemTime::now()).is_ok());
            (!usable).then(|| format!("`{path}` holds no certificate authority in PEM that is valid at this time"))
        }
        Content::Key => {
            let key = PrivateKeyDer::from_pem_slice(&content);
            key.is_err().then(|| format!("`{path}` holds no private key in PEM that Berth can read"))
        }
        Content::ProviderConfig => providers::problems(&content).map(|problems| format!("`{path}`: {problems}")),
        Content::DockerConfig => {
            // The error of serde_json may quote the file, and the file holds passwords.
            let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&content);
            object.is_err().then(|| format!("`{path}` is not a docker `config.json`: it is no JSON object"))
        }
    }
}

fn lines(file: &str, findings: &[Finding]) -> String {
    let lines: Vec<_> = findings.iter().map(|finding| format!("{file}:{finding}")).collect();
    match lines.as_slice() {
        [line] => line.clone(),
        _ => format!("{file} has {} mistakes:\n{}", lines.len(), lines.join("\n")),
    }
}

const API_VERSION: &str = "berth.dev/v1alpha1";
const KIND: &str = "Configuration";

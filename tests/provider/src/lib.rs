//! What a credential provider of the tests is told, and what it writes down.
//!
//! The program `credential-provider` is installed under any name; beside `NAME` it reads `NAME.json`, its [`Settings`],
//! and appends a [`Run`] to `NAME.runs` each time it is started.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What the program does.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    /// What it writes to standard output.
    pub answer: Answer,
    /// Time before the answer, in milliseconds.
    pub sleep_ms: u64,
    /// How it ends, after the answer.
    pub exit_code: u8,
    /// What it writes to standard error.
    pub complaint: String,
    /// Variables of its environment that it writes down.
    pub watched: Vec<String>,
}

impl Settings {
    /// Gives `answer` at once.
    pub fn new(answer: Answer) -> Self {
        Self { answer, sleep_ms: 0, exit_code: 0, complaint: String::new(), watched: Vec::new() }
    }
}

/// What the program writes to standard output.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Answer {
    /// As a kubelet's provider plugin: credentials by patterns of images.
    ///
    /// # Source
    /// `k8s.io/kubelet/pkg/apis/credentialprovider/v1`.
    Kubelet {
        /// Who one is, by patterns of images.
        auth: BTreeMap<String, Credential>,
        /// `Image`, `Registry` or `Global`.
        cache_key_type: String,
        /// A duration as Go writes it; nothing: as the caller's configuration says.
        cache_duration: Option<String>,
    },
    /// As Amazon's plugin: the user `AWS` with this password for the registry of the image, if it is one of theirs;
    /// else it fails.
    ///
    /// # Source
    /// `kubernetes/cloud-provider-aws`, `cmd/ecr-credential-provider/main.go`.
    Ecr {
        /// What Amazon would have given for the next hours.
        password: String,
    },
    /// As a docker credential helper that is called with `get`: a secret for a server that it knows; else it fails.
    ///
    /// # Source
    /// `docker/docker-credential-helpers`, `credentials/credentials.go`.
    Helper(BTreeMap<String, Credential>),
    /// This text, whatever it is.
    Text(String),
    /// So many bytes.
    Huge(usize),
}

/// A name and its password. A docker credential helper names an identity token `<token>`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Credential {
    /// The name.
    pub username: String,
    /// The password, or the token.
    pub password: String,
}

/// One start of the program.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Run {
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Its standard input.
    pub input: String,
    /// The watched variables that were set.
    pub environment: BTreeMap<String, String>,
}

/// The settings of the program at `program`.
pub fn settings_of(program: &Path) -> PathBuf {
    beside(program, "json")
}

/// Where the program at `program` writes its runs, a JSON object a line.
pub fn runs_of(program: &Path) -> PathBuf {
    beside(program, "runs")
}

fn beside(program: &Path, ending: &str) -> PathBuf {
    let mut path = program.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

//! The programs of this clone, as Cargo builds them.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::sync::OnceCell;

use crate::{lock::locked, progress::Progress};

/// Where `program` is. Cargo is asked once in a process: tests of this crate alone do not build the binaries of others.
pub(crate) async fn path(program: &'static str) -> anyhow::Result<PathBuf> {
    static BUILT: Mutex<BTreeMap<&str, Arc<OnceCell<PathBuf>>>> = Mutex::new(BTreeMap::new());
    let known = locked(&BUILT).entry(program).or_default().clone();
    // Always the same packages, so that the dependencies have the features with which the demo was built, and are not
    // built anew.
    let packages = ["--package", "berth", "--package", "berth-tests", "--package", "berth-tests-provider"];
    let build = move || build(&[&packages[..], &["--bin", program, "--profile", &profile()?]].concat());
    known.get_or_try_init(async || tokio::task::spawn_blocking(build).await?).await.cloned()
}

/// Builds one program by `cargo build` with these arguments, and says where it is.
pub(crate) fn build(arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (messages, errors) = (NamedTempFile::new()?, NamedTempFile::new()?);
    let mut build = Command::new(cargo)
        .arg("build")
        .args(arguments)
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(messages.reopen()?)
        .stderr(errors.reopen()?)
        .spawn()
        .context("cannot start cargo")?;
    let status = Progress::start(format!("cargo build {}", arguments.join(" "))).watch(&mut build)?;
    ensure!(status.success(), "cargo build: {status}\n{}", fs::read_to_string(&errors)?);
    let messages = fs::read_to_string(&messages)?;
    let mut executables = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable);
    executables.next().context("cargo named no executable")
}

/// The profile of the running program, by its folder: `target/debug/deps/cluster-…` was built by `dev`.
fn profile() -> anyhow::Result<String> {
    let program = env::current_exe()?;
    let mut folders = program.ancestors().skip(1).filter_map(Path::file_name).map(|name| name.to_string_lossy());
    let folder = folders.find(|name| name != "deps").context("the program lies in no folder")?;
    Ok(if folder == "debug" { "dev".to_owned() } else { folder.into_owned() })
}

/// One of Cargo's messages; only artifacts that can be run have an `executable`.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

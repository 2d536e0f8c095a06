//! The command line: a file a subcommand, and what their ends mean to scripts.

pub mod called;
pub mod cluster;
pub mod config;
mod configuration;
pub mod controller;
pub mod load;
pub mod loaded;
pub mod mutate;
mod nodes;
mod signals;
mod terminal;
pub mod webhook;
pub mod r#where;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::{CommandFactory as _, FromArgMatches as _};

/// Pins, mirrors and places the images of Pods, when they are created.
#[derive(Debug, clap::Parser)]
#[command(name = "berth", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Webhook(webhook::Args),
    Controller(controller::Args),
    Mutate(mutate::Args),
    Where(r#where::Args),
    Load(load::Args),
    Loaded(loaded::Args),
    Called(called::Args),
    #[command(subcommand)]
    Config(config::Command),
}

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// Something was found or denied. Exit code 1.
    Found,
    /// What was looked for is nowhere. Exit code 1.
    Missing,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the configuration is wrong: trying again will not help. Exit code 64 (`EX_USAGE`).
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Something that was needed did not answer. Exit code 69 (`EX_UNAVAILABLE`).
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
}

/// Runs the subcommand that the command line names. Results go to standard output, everything else to standard error.
pub async fn main() -> ExitCode {
    // Fails only where a provider is installed already, and then there is one.
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let words: Vec<OsString> = env::args_os().collect();
    let parsed = command_line(words.first()).try_get_matches_from(words);
    let command = match parsed.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(CommandLine { command }) => command,
        Err(help_or_mistake) => return explain(&help_or_mistake),
    };
    let ended = match command {
        Command::Webhook(args) => webhook::run(args).await,
        Command::Controller(args) => controller::run(args).await,
        Command::Mutate(args) => mutate::run(args).await,
        Command::Where(args) => r#where::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Loaded(args) => loaded::run(args).await,
        Command::Called(args) => called::run(args).await,
        Command::Config(command) => config::run(command),
    };
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found | Outcome::Missing) => ExitCode::from(FOUND),
        Err(failure) => {
            // A closed standard error leaves nobody to tell.
            let _unheard = writeln!(io::stderr(), "berth: {failure}");
            ExitCode::from(match failure {
                Failure::Usage(_) => USAGE,
                Failure::Unavailable(_) => UNAVAILABLE,
            })
        }
    }
}

/// The command line, by the name it was called by: kubectl runs what is called `kubectl-berth` as `kubectl berth`.
fn command_line(called: Option<&OsString>) -> clap::Command {
    let name = called.and_then(|path| Path::new(path).file_stem());
    let command = CommandLine::command();
    if name.is_some_and(|name| name == "kubectl-berth") { command.bin_name("kubectl berth") } else { command }
}

/// `--help` and `--version` are results; a mistake has its own exit code, not clap's 2.
fn explain(help_or_mistake: &clap::Error) -> ExitCode {
    let _unheard = help_or_mistake.print();
    if help_or_mistake.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

const FOUND: u8 = 1;
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_speaks_of_the_command_that_was_typed() {
        let help = |called: &str| {
            let words = [called, "where", "--help"].map(OsString::from);
            let answer = command_line(words.first()).try_get_matches_from(&words).unwrap_err();
            answer.to_string().lines().find_map(|line| line.strip_prefix("Usage: ").map(str::to_owned)).unwrap()
        };
        assert_eq!(help("berth"), "berth where [OPTIONS] <IMAGE>");
        assert_eq!(help("/usr/local/bin/kubectl-berth"), "kubectl berth where [OPTIONS] <IMAGE>");
        CommandLine::command().debug_assert();
    }
}

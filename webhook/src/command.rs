//! The command line: a file a subcommand, and what their ends mean to scripts.

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
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

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
    let command = match CommandLine::try_parse() {
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

/// `--help` and `--version` are results; a mistake has its own exit code, not clap's 2.
fn explain(help_or_mistake: &clap::Error) -> ExitCode {
    let _unheard = help_or_mistake.print();
    if help_or_mistake.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

const FOUND: u8 = 1;
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

//! The binary: the command line and nothing else.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    berth::command::main().await
}

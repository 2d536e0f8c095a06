//! The binary: the command line and nothing else.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    berth::command::main().await
}

/// The static binary is linked with musl, whose own allocator is slow where threads share it.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

//! A registry with a password and one image, for scripts. It says on one line where it is, the image's digest, and a
//! user with a password; and ends when its standard input ends.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use berth_tests::registry::{ECR_PASSWORD, ECR_USER, Options, Registry};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads errors, the exit code has to do.
            let _ = writeln!(io::stderr(), "registry: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    let registry = Registry::start_with(&Options { password: true, ..Options::default() }).await?;
    let digest = registry.push_index("team/app", "latest", "an image for a script").await?;
    writeln!(io::stdout(), "{} {digest} {ECR_USER} {ECR_PASSWORD}", registry.endpoint())?;
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

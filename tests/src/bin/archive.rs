//! Berth's container image, for scripts: `archive FOLDER TAG…` writes `FOLDER/TAG.tar` with the image `berth:TAG`, or
//! says why on standard error, where this machine cannot build images.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use berth_tests::berth::image;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [folder, tags @ ..] = arguments.as_slice() else { return say("usage: archive FOLDER TAG…", USAGE) };
    if let Err(reason) = image::prepare() {
        return say(&format!("{reason:#}"), UNAVAILABLE);
    }
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    match image::build(Path::new(folder), &tags).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => say(&format!("{error:#}"), 1),
    }
}

fn say(text: &str, code: u8) -> ExitCode {
    // Where nobody reads errors, the exit code has to do.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(code)
}

/// `EX_USAGE` and `EX_UNAVAILABLE` of sysexits.h.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

//! `cargo demo`: Berth in seven situations, on a real cluster. `--keep` leaves it up to try things by hand.

use std::{
    env, future,
    io::{self, Write as _},
    process::ExitCode,
    thread,
};

use berth_tests::demo::{self, Options, Screen};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

#[tokio::main]
async fn main() -> ExitCode {
    let mut options = Options::default();
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--keep" => options.keep = true,
            "--written-nodes" => options.written_nodes = true,
            "--help" | "-h" => return say(HELP, ExitCode::SUCCESS),
            _ => return say(HELP, ExitCode::from(USAGE)),
        }
    }
    let screen = Screen::new();
    // What is running is dropped with the story, whichever comes first; dropping ends it. Biased, because the signal
    // that ends the waiting of `--keep` is no interruption.
    let ended = tokio::select! {
        biased;
        ended = demo::run(&screen, options, enter_or_interrupted()) => ended,
        () = interrupted() => return say("interrupted\n", ExitCode::from(INTERRUPTED)),
    };
    ended.unwrap_or_else(|error| say(&format!("demo: {error:#}\n"), ExitCode::FAILURE))
}

/// Waits for what ends the waiting.
async fn enter_or_interrupted() {
    tokio::select! {
        () = enter() => (),
        () = interrupted() => (),
    }
}

/// Waits for Enter. The end of the input (`cargo demo -- --keep < /dev/null`) is no Enter.
async fn enter() {
    let (pressed, waiting) = oneshot::channel();
    // A thread, since a read of a terminal cannot be given up; the process does not wait for it.
    thread::spawn(move || {
        if io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0) {
            // Nobody listens any more where Ctrl-C came first.
            let _ = pressed.send(());
        }
    });
    if waiting.await.is_err() {
        future::pending::<()>().await;
    }
}

/// Waits for Ctrl-C, SIGTERM or the end of the terminal.
async fn interrupted() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
        // Without handlers the signals end the process, and its guards the rest.
        return future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
        _ = hangup.recv() => (),
    }
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    // A closed standard error leaves nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    code
}

const HELP: &str = "\
Tells the seven situations that Berth is for, on a real cluster.

Usage: cargo demo [-- OPTIONS]

  --keep           leave the cluster, the registry, the webhook and the controller up afterwards, and say how to use them
  --written-nodes  nodes are Node objects on which nothing runs, as where root or the features of Linux are missing
";
/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;
/// What shells expect after Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

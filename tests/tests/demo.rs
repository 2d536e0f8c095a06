//! `cargo demo` as people run it: it comes out as told, and leaves nothing, not even when it is interrupted.

#![allow(clippy::unwrap_used, reason = "what a test does not find, it fails by")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::ensure;
use berth_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
async fn every_situation_comes_out_as_told() {
    let text = told(&[]).await;
    // Where there can be no real nodes, it says so and tells the same.
    assert!(text.contains("Everything is real") || text.contains("Not real: the nodes"), "{text}");
}

#[tokio::test]
async fn every_situation_comes_out_as_told_where_nodes_are_only_written() {
    let text = told(&["--written-nodes"]).await;
    assert!(text.contains("Not real: the nodes"), "{text}");
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing() {
    interrupted(&[]).await;
    interrupted(&["--written-nodes"]).await;
}

/// Lets the demo tell all, and returns what it said.
async fn told(arguments: &[&str]) -> String {
    let temporary = tempfile::tempdir().unwrap();
    let told = demo(temporary.path()).args(arguments).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{}\n{text}{}", told.status, String::from_utf8_lossy(&told.stderr));
    assert!((1..=7).all(|number| text.contains(&format!("\n{number}  "))) && text.contains('✓'), "{text}");
    assert!(!text.contains('\x1b'), "a pipe gets no colour");
    until("nothing is left", LEFT_LIMIT, async || nothing_is_left(temporary.path())).await.unwrap();
    text
}

/// Interrupts the demo while it tells.
async fn interrupted(arguments: &[&str]) {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = demo(temporary.path()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first_check = lines.find(|line| line.contains('✓'));
    assert!(first_check.is_some() && nothing_is_left(temporary.path()).is_err(), "it ended early: {:?}", demo.wait());

    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    until("nothing is left", LEFT_LIMIT, async || nothing_is_left(temporary.path())).await.unwrap();
}

/// The demo, whose files and so whose processes' command lines are below `temporary`.
fn demo(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.env("TMPDIR", temporary);
    command
}

fn nothing_is_left(temporary: &Path) -> anyhow::Result<()> {
    let processes = Command::new("ps").args(["-eo", "pid=,args="]).output()?;
    let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
    let ours: Vec<_> = processes.lines().filter(|line| line.contains(&*temporary.to_string_lossy())).collect();
    ensure!(ours.is_empty(), "still there: {ours:#?}");
    let files = fs::read_dir(temporary)?.count();
    ensure!(files == 0, "{files} files are still in {}", temporary.display());
    Ok(())
}

const LEFT_LIMIT: Duration = Duration::from_secs(10);

//! Processes and folders that end with their owner, whatever happens to it.
//!
//! Dropping ends them. Where nothing is dropped (a killed test, a static, Ctrl-C) a *guard* does it: a shell of its
//! own process group that reads from a pipe whose only other end is ours, and acts when that end closes.

mod folder;
mod guard;

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

pub use self::folder::{Folder, keep_all};
pub(crate) use self::guard::Guard;
use crate::machine::Machine;

/// A running program with a log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    /// None where a machine of its own ends it.
    guard: Option<Guard>,
}

impl Process {
    /// Starts `command` (its program, arguments and environment; output goes to `NAME.log` in `logs`).
    pub fn spawn(name: &str, command: &Command, logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let (guard, announce) = Guard::over_process()?;
        // The process announces itself to its guard before it becomes the program: nothing can come between.
        let mut shell = shell(name, "echo $$; ", command, &log);
        let child = shell.stdout(announce).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), log, child, guard: Some(guard) })
    }

    /// Starts `command` on `machine`, with which it ends.
    pub(crate) fn spawn_on(machine: &Machine, name: &str, command: &Command, logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let mut shell = shell(name, "", command, &log);
        let child = machine.inside(|| Ok(shell.stdout(Stdio::null()).spawn()?));
        Ok(Self {
            name: name.to_owned(),
            log,
            child: child.with_context(|| format!("cannot start {name}"))?,
            guard: None,
        })
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if let (Some(_), Some(guard)) = (status, &mut self.guard) {
            guard.dismiss();
        }
        Ok(status)
    }

    /// Asks it to end (SIGTERM), without waiting.
    pub fn terminate(&mut self) {
        self.send(Signal::TERM);
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace`.
    pub fn stop(&mut self, grace: Duration) -> anyhow::Result<ExitStatus> {
        self.terminate();
        let asked = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if asked.elapsed() > grace {
                self.send(Signal::KILL);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of its log, under its name.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n");
        format!("{} said last:\n{last}\n", self.name)
    }

    /// Does nothing where it has ended: the id is another's by now.
    fn send(&mut self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Ok(None), Some(id)) = (self.ended(), id) {
            // It may end this very moment, which is what is wanted.
            let _ = kill_process(id, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only where the process cannot be waited for; then the guard kills it.
        let _ = self.stop(GRACE);
    }
}

/// A shell that does `first`, and then becomes the program of `command`.
fn shell(name: &str, first: &str, command: &Command, log: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg([first, r#"log=$1; shift; exec "$@" >>"$log" 2>&1 </dev/null"#].concat()).arg(name);
    shell.arg(log).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    // A group of its own: Ctrl-C at the terminal is for the owner, who then ends it in order.
    shell.process_group(0).stdin(Stdio::null()).stderr(Stdio::null());
    shell
}

/// Waits for `ready`, but no longer than all of `processes` run; an error quotes their logs.
pub(crate) async fn while_running<T>(
    processes: &mut [Process],
    ready: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let outcome = tokio::select! {
        outcome = ready => outcome,
        (name, status) = first_end(processes) => Err(anyhow!("{name} has ended: {status}")),
    };
    outcome.with_context(|| processes.iter().map(Process::last_words).collect::<String>())
}

/// Waits until one of `processes` has ended.
async fn first_end(processes: &mut [Process]) -> (String, ExitStatus) {
    loop {
        for process in &mut *processes {
            if let Ok(Some(status)) = process.ended() {
                return (process.name.clone(), status);
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Time between SIGTERM and SIGKILL for what is dropped: nothing of it is needed afterwards.
const GRACE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of a log that an error quotes.
const LAST_WORDS: usize = 12;

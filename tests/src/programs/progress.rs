//! Says on standard error what takes so long: a counter at a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// One thing that takes long.
pub(super) struct Progress {
    what: String,
    since: Instant,
    terminal: bool,
}

impl Progress {
    /// Says that it begins.
    pub(super) fn start(what: String) -> Self {
        let progress = Self { what, since: Instant::now(), terminal: io::stderr().is_terminal() };
        if progress.terminal {
            progress.count();
        } else {
            say(&format!("{} …\n", progress.what));
        }
        progress
    }

    /// Counts until `child` has ended.
    pub(super) fn watch(self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut told = self.since;
        loop {
            if let Some(status) = child.try_wait()? {
                self.finish(if status.success() { "done" } else { "failed" });
                return Ok(status);
            }
            if self.terminal && told.elapsed() >= COUNT_EVERY {
                told = Instant::now();
                self.count();
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Says that it has ended.
    pub(super) fn finish(self, how: &str) {
        let seconds = self.since.elapsed().as_secs();
        let back = if self.terminal { "\r" } else { "" };
        say(&format!("{back}{}: {how} after {seconds} s\n", self.what));
    }

    fn count(&self) {
        say(&format!("\r{} … {} s ", self.what, self.since.elapsed().as_secs()));
    }
}

/// Not by `eprint!`: what goes through that is swallowed by the test harness.
fn say(text: &str) {
    // Progress that nobody can read is no reason to fail.
    let _ = io::stderr().write_all(text.as_bytes());
}

const COUNT_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

//! Says on standard error what takes so long: a counter at a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// One thing that may take long. Nothing is said of what ends soon.
pub(crate) struct Progress {
    what: String,
    since: Instant,
    told: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// It begins.
    pub(crate) fn start(what: String) -> Self {
        Self { what, since: Instant::now(), told: None, terminal: io::stderr().is_terminal() }
    }

    /// Tells until `child` has ended.
    pub(crate) fn watch(mut self, child: &mut Child) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait()? {
                self.finish(if status.success() { "done" } else { "failed" });
                return Ok(status);
            }
            self.tell();
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Tells until `over`.
    pub(crate) fn wait(mut self, mut over: impl FnMut() -> bool) {
        while !over() {
            self.tell();
            thread::sleep(LOOK_EVERY);
        }
        self.finish("over");
    }

    fn tell(&mut self) {
        let seconds = self.since.elapsed().as_secs();
        match self.told {
            None if self.since.elapsed() < SOON => return,
            None if !self.terminal => say(&format!("{} …\n", self.what)),
            Some(told) if !self.terminal || told.elapsed() < COUNT_EVERY => return,
            _ => say(&format!("\r{} … {seconds} s ", self.what)),
        }
        self.told = Some(Instant::now());
    }

    fn finish(&self, how: &str) {
        if self.told.is_some() {
            let back = if self.terminal { "\r" } else { "" };
            say(&format!("{back}{}: {how} after {} s\n", self.what, self.since.elapsed().as_secs()));
        }
    }
}

/// Not by `eprint!`: what goes through that is swallowed by the test harness.
fn say(text: &str) {
    // Progress that nobody can read is no reason to fail.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What ends within this time is not worth a word.
const SOON: Duration = Duration::from_secs(1);
const COUNT_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

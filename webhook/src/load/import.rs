//! One command that takes an archive: fed from a file, listened to, and ended with all that it started.

use std::{
    cell::RefCell,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    pin::pin,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::future::{self, Either};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    task::spawn_blocking,
    time::{self, timeout},
};

/// An archive on disk: every node reads it at its own speed, and nothing of it stays in memory.
#[derive(Clone, Debug)]
pub struct Spooled {
    /// The file.
    pub file: Arc<File>,
    /// Bytes of it.
    pub length: u64,
    /// Bytes that an importer has to take before it can have read everything.
    pub needed: u64,
}

impl Spooled {
    async fn chunk(&self, offset: u64, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let (file, rest) = (Arc::clone(&self.file), self.length.saturating_sub(offset));
        let read = move || {
            buffer.resize(CHUNK.min(usize::try_from(rest).unwrap_or(CHUNK)), 0);
            let read = if buffer.is_empty() { 0 } else { file.read_at(&mut buffer, offset)? };
            if read == 0 && rest > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into()); // somebody has cut the file
            }
            buffer.truncate(read);
            Ok(buffer)
        };
        spawn_blocking(read).await?
    }
}

/// Runs `command` (a program and its arguments) with the archive at its standard input; `took` is told how many bytes it
/// has taken so far.
///
/// `patience`: how long it may take neither a byte nor an end. Dropping the future ends the command and all it started.
pub async fn import(
    command: &[String],
    archive: &Spooled,
    patience: Duration,
    took: impl Fn(u64),
) -> Result<(), ImportError> {
    let mut running = Running::start(command)?;
    let (stdin, stdout, stderr) = (running.0.stdin.take(), running.0.stdout.take(), running.0.stderr.take());
    let (output, errors) = (RefCell::default(), RefCell::default());
    // What is said is read while the command runs: a full pipe would stop it.
    let mut listening = pin!(future::join(listen(stdout, &output), listen(stderr, &errors)));
    let end = running.end_of(feed(stdin, archive, patience, took), patience);
    let end = match future::select(pin!(end), listening.as_mut()).await {
        Either::Left((end, _)) => {
            // Something that it left behind may hold the pipes for ever, as ssh's shared connections do.
            let _all_said = timeout(ECHO, listening).await;
            end
        }
        Either::Right((_, end)) => end.await,
    };
    let said = || {
        let errors = tidy(&errors.borrow());
        if errors.is_empty() { tidy(&output.borrow()) } else { errors }
    };
    match end {
        Ok((taken, status)) => ended(status, taken, archive, said()),
        Err(Stop::Stalled) => Err(ImportError::Stalled { seconds: patience.as_secs(), said: said() }),
        Err(Stop::File(error)) => Err(ImportError::File(error)),
    }
}

fn ended(status: ExitStatus, taken: u64, archive: &Spooled, said: String) -> Result<(), ImportError> {
    if !status.success() {
        return Err(ImportError::Failed { status, said });
    }
    // An importer that understood an archive has read it: one that has not is something else.
    if taken < archive.needed {
        return Err(ImportError::NotRead { taken, needed: archive.needed });
    }
    Ok(())
}

/// Why a command gets no more.
#[derive(Debug)]
enum Stop {
    Stalled,
    File(io::Error),
}

/// Writes the archive; the bytes that were taken. A command that wants no more says by its end how it went.
async fn feed(
    stdin: Option<ChildStdin>,
    archive: &Spooled,
    patience: Duration,
    took: impl Fn(u64),
) -> Result<u64, Stop> {
    let Some(mut stdin) = stdin else { return Ok(0) };
    let (mut offset, mut chunk) = (0, Vec::new());
    loop {
        chunk = archive.chunk(offset, chunk).await.map_err(Stop::File)?;
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            match timeout(patience, stdin.write(rest)).await.map_err(|_| Stop::Stalled)? {
                Ok(written) if written > 0 => {
                    rest = rest.get(written..).unwrap_or_default();
                    offset = offset.saturating_add(u64::try_from(written).unwrap_or_default());
                    took(offset);
                }
                _ => return Ok(offset),
            }
        }
        if chunk.is_empty() {
            return Ok(offset);
        }
    }
}

/// Keeps the end of what a command says.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, said: &RefCell<Vec<u8>>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; SAID];
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        let mut said = said.borrow_mut();
        said.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let surplus = said.len().saturating_sub(SAID);
        said.drain(..surplus);
    }
}

/// The last lines, as they stand at a terminal, without anything that could move its cursor.
pub fn tidy(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(|line| {
        // What a carriage return has overwritten was progress.
        let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
        line.chars().filter(|letter| !letter.is_control()).collect::<String>()
    });
    let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    last.iter().map(|line| line.chars().take(LINE).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// A command, and all that it started: ended when nobody waits for it any more.
struct Running(Child);

impl Running {
    fn start(command: &[String]) -> Result<Self, ImportError> {
        let (first, arguments) = command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let mut command = Command::new(first);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn();
        child.map(Self).map_err(|error| ImportError::Start { program: first.to_owned(), error })
    }

    /// Waits until it was `fed` and has ended: the bytes that it took, and how it ended.
    async fn end_of(
        &mut self,
        fed: impl Future<Output = Result<u64, Stop>>,
        patience: Duration,
    ) -> Result<(u64, ExitStatus), Stop> {
        let end = async {
            let taken = fed.await?;
            let status = timeout(patience, self.0.wait()).await.map_err(|_| Stop::Stalled)?;
            Ok((taken, status.map_err(Stop::File)?))
        };
        let end = end.await;
        if end.is_err() {
            self.end().await;
        }
        end
    }

    /// Asks all of them to end, and makes them.
    async fn end(&mut self) {
        self.send(Signal::TERM);
        let _ended = time::timeout(GRACE, self.0.wait()).await;
        self.send(Signal::KILL);
        let _ended = self.0.wait().await;
    }

    fn send(&self, signal: Signal) {
        // While it has an id, it was not waited for, and so nobody else can have that id.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            let _gone = kill_process_group(id, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.send(Signal::KILL);
    }
}

/// Why an image did not get onto a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The program cannot be run.
    #[error("`{}` cannot be run: {error}", .program.escape_debug())]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        error: io::Error,
    },
    /// It ended otherwise than well.
    #[error("{status}{}", quoted(.said))]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        said: String,
    },
    /// It ended well, but too early to have seen the image.
    #[error("the command ended well after {taken} of {needed} bytes: it did not read the archive")]
    NotRead {
        /// Bytes that it took.
        taken: u64,
        /// Bytes that it should have.
        needed: u64,
    },
    /// It stood still.
    #[error("nothing moved for {seconds} s (see --timeout){}", quoted(.said))]
    Stalled {
        /// For how long.
        seconds: u64,
        /// What it said last.
        said: String,
    },
    /// The archive cannot be read any more.
    #[error("the archive cannot be read: {0}")]
    File(io::Error),
}

/// Below its own line, where there are several.
fn quoted(said: &str) -> String {
    match said.lines().count() {
        0 => String::new(),
        1 => format!(": {said}"),
        _ => format!(":\n    {}", said.replace('\n', "\n    ")),
    }
}

/// Bytes that go to a command at once.
const CHUNK: usize = 256 << 10;
/// Bytes that are kept of what a command says.
const SAID: usize = 4 << 10;
/// Lines of it that are shown, and letters of each.
const LINES: usize = 8;
const LINE: usize = 300;
/// Time for the last words to arrive, after the end.
const ECHO: Duration = Duration::from_millis(500);
/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

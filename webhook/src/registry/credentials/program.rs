//! Programs that are asked for credentials: run with bounds on time and output, and ended with all they started.

use std::{fmt, fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::SecretSlice;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    time,
};

use super::credential::Fingerprint;

/// A program of the administrator's, and how it is called.
#[derive(Clone)]
pub(super) struct Program {
    /// Absolute, or as the configuration has it.
    pub(super) path: PathBuf,
    pub(super) args: Vec<String>,
    /// Besides Berth's own variables, and before them.
    pub(super) env: Vec<(String, String)>,
}

/// Shows neither arguments nor variables: there may be secrets in them.
impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Program").field(&self.path).finish()
    }
}

impl Program {
    /// Why it cannot be run, as far as the file tells.
    pub(super) fn problem(&self) -> Option<String> {
        match fs::metadata(&self.path) {
            Err(error) => Some(error.to_string()),
            Ok(file) if !file.is_file() => Some("it is no file".to_owned()),
            Ok(file) if file.permissions().mode() & 0o111 == 0 => Some("it is not executable".to_owned()),
            Ok(_) => None,
        }
    }

    /// Tells programs and ways to call them apart.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut parts = vec![self.path.as_os_str().as_encoded_bytes()];
        parts.push(b"args");
        parts.extend(self.args.iter().map(String::as_bytes));
        parts.push(b"env");
        parts.extend(self.env.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        Fingerprint::over(&parts)
    }

    /// Runs it with `input` at its standard input: what it wrote to its standard output, and whether it ended well.
    ///
    /// What it says on standard error is thrown away: vendors' programs print requests there, with what is in them.
    pub(super) async fn run(&self, input: &[u8]) -> Result<Output, Failure> {
        let run = async {
            let mut group = Group(self.command().spawn().map_err(|error| Failure::Start(error.kind()))?);
            let written = write(group.0.stdin.take(), input);
            let stdout = group.0.stdout.take();
            let ((), stdout) = tokio::join!(written, read(stdout));
            let stdout = stdout?;
            let status = group.0.wait().await.map_err(|error| Failure::Start(error.kind()))?;
            Ok(Output { stdout, good: status.success(), status: status.to_string() })
        };
        time::timeout(LONGEST, run).await.unwrap_or(Err(Failure::TimedOut))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// What a program wrote.
pub(super) struct Output {
    /// Standard output; it holds secrets.
    pub(super) stdout: SecretSlice<u8>,
    /// It ended with exit status 0.
    pub(super) good: bool,
    /// How it ended, in words.
    pub(super) status: String,
}

/// Writes all of `input`, unless the program does not want it.
async fn write(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _unread = stdin.write_all(input).await;
    }
}

/// Reads to the end, no more than [`OUTPUT_LIMIT`].
async fn read(stdout: Option<impl tokio::io::AsyncRead + Unpin>) -> Result<SecretSlice<u8>, Failure> {
    let Some(stdout) = stdout else { return Ok(SecretSlice::from(Vec::new())) };
    let mut text = Vec::new();
    let limit = u64::try_from(OUTPUT_LIMIT).unwrap_or(u64::MAX);
    let read = stdout.take(limit.saturating_add(1)).read_to_end(&mut text).await;
    let text = SecretSlice::from(text);
    match read {
        Ok(length) if length <= OUTPUT_LIMIT => Ok(text),
        Ok(_) => Err(Failure::TooLong),
        Err(error) => Err(Failure::Start(error.kind())),
    }
}

/// A running program, and all that it started: ended when nobody waits for it any more.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // While it has an id, it was not waited for, and so nobody else can have that id.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            let _gone = kill_process_group(id, Signal::KILL);
        }
    }
}

/// Why a program gave no credentials, in words without any of its output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// It could not be started, or not be listened to.
    Start(io::ErrorKind),
    /// It ended with another exit status than 0, or by a signal.
    Status(String),
    /// It took longer than [`LONGEST`].
    TimedOut,
    /// It wrote more than [`OUTPUT_LIMIT`].
    TooLong,
    /// It wrote something else than an answer.
    Answer(String),
    /// Whoever asked could not wait for it.
    Late(Duration),
    /// A mistake in Berth.
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(io::ErrorKind::NotFound) => {
                formatter.write_str("cannot be run: it, its interpreter or /dev/null is not there")
            }
            Self::Start(kind) => write!(formatter, "cannot be run: {kind}"),
            Self::Status(status) => write!(formatter, "failed with {status}"),
            Self::TimedOut => write!(formatter, "gave no answer within {} s", LONGEST.as_secs()),
            Self::TooLong => write!(formatter, "wrote more than {} KiB", OUTPUT_LIMIT / 1024),
            Self::Answer(reason) => write!(formatter, "gave an answer that cannot be used: {reason}"),
            Self::Late(waited) => write!(formatter, "gave no answer within {} ms", waited.as_millis()),
            Self::Panicked => formatter.write_str("was not asked, by a mistake in Berth"),
        }
    }
}

/// How long a program may take: the kubelet's own limit.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// Bytes of standard output.
const OUTPUT_LIMIT: usize = 64 * 1024;

//! Where the image comes from: Docker, Podman, a file or standard input.
//!
//! What comes as a stream goes to a file that has no name, and is checked on its way: nodes read at different speeds, and
//! none may see an archive that is of no use.

use std::{
    env, fmt,
    fs::File,
    io::{self, IsTerminal as _, Read, Seek as _, Write as _},
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    sync::oneshot,
    time::{self, sleep, timeout},
};

use super::{super::terminal, Failure, board};
use crate::{
    image::Reference,
    load::{
        archive::{Archive, Build},
        import::{Spooled, tidy},
    },
};

/// Where the image is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    Docker,
    Podman,
    File(PathBuf),
    Stdin,
}

/// An archive that has the image.
pub(super) struct Taken {
    pub(super) spooled: Spooled,
    /// One for each platform.
    pub(super) builds: Vec<Build>,
}

impl Source {
    /// As `--from` says it. A file that is called `docker` is `./docker`.
    pub(super) fn named(text: &str) -> Self {
        match text {
            "docker" => Self::Docker,
            "podman" => Self::Podman,
            "-" => Self::Stdin,
            file => Self::File(file.into()),
        }
    }

    /// The command that writes the archive, if one does. An image's name never begins with a dash.
    fn command(&self, image: &Reference) -> Option<Command> {
        let (program, words): (_, &[&str]) = match self {
            Self::Docker => ("docker", &["save"]),
            Self::Podman => ("podman", &["save", "--format", "docker-archive"]),
            Self::File(_) | Self::Stdin => return None,
        };
        let mut command = Command::new(program);
        command.args(words).arg(image.as_str()).stdin(Stdio::null());
        Some(command)
    }

    /// Fetches the archive and checks that it has `image`.
    pub(super) async fn take(&self, image: &Reference) -> Result<Taken, Failure> {
        let (archive, file) = match self.command(image) {
            Some(command) => saved(command).await?,
            None => self.read().await.map_err(Failure::Usage)?,
        };
        let builds = archive.builds(image).map_err(|error| Failure::Usage(error.into()))?.to_vec();
        let length = file.metadata().map_err(|error| Failure::Unavailable(error.into()))?.len();
        Ok(Taken { spooled: Spooled { file: Arc::new(file), length, needed: archive.needed }, builds })
    }

    async fn read(&self) -> anyhow::Result<(Archive, File)> {
        let Self::File(path) = self else {
            anyhow::ensure!(
                !io::stdin().is_terminal(),
                "an archive is no text that one types: pipe it, or name a file"
            );
            return in_thread(|taken| spool(io::stdin(), &taken)).await;
        };
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let name = || format!("{}", path.display());
        if !file.metadata().with_context(name)?.is_file() {
            return in_thread(|taken| spool(file, &taken)).await.with_context(name);
        }
        in_thread(|taken| Ok((Archive::read(Counted { stream: &file, taken: &taken })?, file))).await.with_context(name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker => formatter.write_str("Docker"),
            Self::Podman => formatter.write_str("Podman"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Stdin => formatter.write_str("standard input"),
        }
    }
}

/// The first of Docker and Podman that has `image`.
pub(super) async fn find(image: &Reference) -> Result<Source, Failure> {
    let mut answers = Vec::new();
    for (source, name) in [(Source::Docker, "docker"), (Source::Podman, "podman")] {
        let mut inspect = tokio::process::Command::new(name);
        inspect
            .args(["image", "inspect", "--format", "{{.Id}}", image.as_str()])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match timeout(INSPECT_LIMIT, inspect.output()).await {
            Ok(Ok(output)) if output.status.success() => return Ok(source),
            Ok(Ok(output)) => answers.push(format!("{name}: {}", tidy(&output.stderr))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => answers.push(format!("{name}: not installed")),
            Ok(Err(error)) => answers.push(format!("{name}: {error}")),
            Err(_) => answers.push(format!("{name}: no answer within {} s", INSPECT_LIMIT.as_secs())),
        }
    }
    let why = answers.join("\n  ");
    Err(Failure::Unavailable(anyhow!("{image} was found nowhere; --from FILE takes an archive\n  {why}")))
}

/// Runs a command that writes an archive.
async fn saved(mut command: Command) -> Result<(Archive, File), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let broken = |error: io::Error| Failure::Unavailable(anyhow!("{program}: {error}"));
    let errors = tempfile::tempfile_in(folder()).map_err(broken)?;
    command.stdout(Stdio::piped()).stderr(errors.try_clone().map_err(broken)?).process_group(0);
    let mut saving = Saving(command.spawn().map_err(broken)?);
    let stdout = saving.0.stdout.take().context("it was started with a pipe").map_err(Failure::Unavailable)?;
    let read = in_thread(|taken| spool(stdout, &taken)).await;
    let status = saving.end().await.map_err(broken)?;
    if !status.success() {
        let said = last(&errors).unwrap_or_default();
        return Err(Failure::Unavailable(anyhow!("{program} save failed with {status}: {said}")));
    }
    read.map_err(Failure::Usage)
}

/// A running `docker save`, ended when nobody waits for it any more.
struct Saving(Child);

impl Saving {
    /// It has closed its output, and so it ends soon, or was told to.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let deadline = time::Instant::now() + END_LIMIT;
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(status),
                None if time::Instant::now() > deadline => self.kill(),
                None => sleep(LOOK_EVERY).await,
            }
        }
    }

    fn kill(&mut self) {
        // It was not waited for, and so nobody else can have that id.
        if let Some(id) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _gone = kill_process_group(id, Signal::KILL);
        }
        let _ended = self.0.wait();
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.kill();
        }
    }
}

fn last(errors: &File) -> io::Result<String> {
    let length = errors.metadata()?.len();
    let mut bytes = vec![0; 4096];
    let read = errors.read_at(&mut bytes, length.saturating_sub(4096))?;
    bytes.truncate(read);
    Ok(tidy(&bytes))
}

/// Reads a stream in a thread of its own, telling how far it is. Where nobody waits any more, the thread ends with the
/// stream or with the process: a read of standard input cannot be taken back, and the runtime would wait for it.
async fn in_thread(
    work: impl FnOnce(Arc<AtomicU64>) -> anyhow::Result<(Archive, File)> + Send + 'static,
) -> anyhow::Result<(Archive, File)> {
    let (sender, mut receiver) = oneshot::channel();
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    thread::spawn(move || {
        let _nobody_waits = sender.send(work(counter));
    });
    let reading = board::Reading::default();
    loop {
        match timeout(super::DRAW_EVERY, &mut receiver).await {
            Ok(done) => return done.context("the archive could not be read")?,
            Err(_) => reading.draw(&terminal::bytes(taken.load(Ordering::Relaxed))),
        }
    }
}

/// Keeps a stream in a file that has no name, and reads what it has.
fn spool(stream: impl Read, taken: &AtomicU64) -> anyhow::Result<(Archive, File)> {
    let folder = folder();
    let place = || format!("{} cannot keep the archive (TMPDIR names another folder)", folder.display());
    let file = tempfile::tempfile_in(&folder).with_context(place)?;
    let tee = Tee { stream: Counted { stream, taken }, file: &file, failed: None };
    let mut tee = tee;
    let archive = Archive::read(&mut tee);
    if let Some(error) = tee.failed.take() {
        return Err(error).with_context(place);
    }
    (&file).rewind()?;
    Ok((archive?, file))
}

/// `/tmp` is memory on many machines.
fn folder() -> PathBuf {
    let usual = Path::new("/var/tmp");
    let named = env::var_os("TMPDIR").filter(|name| !name.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| if usual.is_dir() { usual.to_owned() } else { env::temp_dir() })
}

/// Counts what goes by.
struct Counted<'a, R> {
    stream: R,
    taken: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.taken.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        Ok(read)
    }
}

/// Copies what goes by.
struct Tee<'a, R> {
    stream: R,
    file: &'a File,
    /// Why the copy is not whole.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        if let Err(error) = self.file.write_all(buffer.get(..read).unwrap_or_default()) {
            let kind = error.kind();
            self.failed = Some(error);
            return Err(kind.into());
        }
        Ok(read)
    }
}

/// Time for Docker or Podman to say whether they have an image.
const INSPECT_LIMIT: Duration = Duration::from_secs(20);
/// Time for a command to end that has nothing more to write.
const END_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

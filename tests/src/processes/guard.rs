//! A shell that acts when its owner is gone.

use std::{
    io::{PipeWriter, Write as _, pipe},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// Holds one end of a pipe; a shell reads from the other. When the pipe closes without a word, the shell acts.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    pipe: Option<PipeWriter>,
}

impl Guard {
    /// Will kill the process whose id is written into the returned pipe.
    pub(super) fn over_process() -> anyhow::Result<(Self, PipeWriter)> {
        let guard = Self::start(KILL, &[])?;
        let announce = guard.pipe.as_ref().context("a new guard has its pipe")?.try_clone()?;
        Ok((guard, announce))
    }

    /// Will remove `folder`.
    pub(super) fn over_folder(folder: &Path) -> anyhow::Result<Self> {
        Self::start(REMOVE, &[folder.to_owned()])
    }

    /// Will remove these control groups, and those below them; what runs there is ended by somebody else.
    pub(crate) fn over_cgroups(folders: &[PathBuf]) -> anyhow::Result<Self> {
        Self::start(REMOVE_CGROUPS, folders)
    }

    /// Says that there is nothing left to do.
    pub(crate) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A guard that is gone already has nothing left to do either.
            let _ = pipe.write_all(b"\n");
        }
    }

    /// Whether it was told that there is nothing left to do.
    pub(super) fn dismissed(&self) -> bool {
        self.pipe.is_none()
    }

    fn start(script: &str, arguments: &[PathBuf]) -> anyhow::Result<Self> {
        let (reader, writer) = pipe()?;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "guard"]).args(arguments);
        shell.process_group(0).stdin(reader).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { shell: shell.spawn().context("cannot start sh")?, pipe: Some(writer) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Without this the shell would stay as a zombie; that it failed to act changes nothing for us.
        let _ = self.shell.wait();
    }
}

const KILL: &str = r#"read -r id && { read -r reaped || kill -KILL "$id"; }"#;
/// More than once: the processes that write there are being killed at the same time.
const REMOVE: &str = r#"read -r kept || for again in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done"#;
/// They cannot be removed before the last of their processes is gone, and some are free before others. In a control
/// group, only folders can be removed.
const REMOVE_CGROUPS: &str = r#"read -r kept || for again in $(seq 60); do
    find "$@" -depth -type d -exec rmdir {} + 2>/dev/null; [ "$(ls -d "$@" 2>/dev/null)" ] || break; sleep 0.5
done"#;

#[cfg(test)]
mod tests {
    use std::{fs, thread, time::Duration};

    use super::Guard;

    /// A plain folder with a file in it can be removed as little as a control group with a process in it.
    #[test]
    fn groups_that_are_free_later_are_removed_later() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        let [free, busy] = ["free", "busy"].map(|name| home.path().join(name));
        fs::create_dir_all(free.join("below"))?;
        fs::create_dir_all(&busy)?;
        let process = busy.join("process");
        fs::write(&process, "")?;
        let guard = Guard::over_cgroups(&[free.clone(), busy.clone()])?;
        let ends = thread::spawn(move || {
            while free.exists() {
                thread::sleep(Duration::from_millis(10));
            }
            fs::remove_file(process)
        });
        drop(guard); // it waits for the shell
        ends.join().expect("it does not panic")?;
        assert!(!busy.exists(), "it is left");
        Ok(())
    }
}

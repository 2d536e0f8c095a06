//! A folder for the files and the logs of some processes.

use std::{
    fs, panic,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, Weak},
};

use super::guard::Guard;
use crate::lock::locked;

/// A folder that is removed at the end.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    guard: Arc<Mutex<Guard>>,
}

impl Folder {
    /// A new folder in the system's place for temporary files, with `name` in its own. When something panics (a test
    /// that failed) it is kept, and named on standard error.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let folder = Self::for_data(name)?;
        keep_when_a_test_fails(&folder.path, &folder.guard);
        Ok(folder)
    }

    /// The same, but never kept: for what is large and tells nobody anything.
    pub fn for_data(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("berth-{name}-")).tempdir()?;
        let guard = Arc::new(Mutex::new(Guard::over_folder(folder.path())?));
        Ok(Self { path: folder.keep(), guard })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file `name` and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, content)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut guard = locked(&self.guard);
        if !guard.dismissed() && fs::remove_dir_all(&self.path).is_ok() {
            guard.dismiss();
        }
    }
}

/// Every folder that lives when something panics is kept, also those of statics, which are never dropped.
fn keep_when_a_test_fails(path: &Path, guard: &Arc<Mutex<Guard>>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            hook(info);
            keep_all();
        }));
    });
    locked(&FOLDERS).push((path.to_owned(), Arc::downgrade(guard)));
}

/// Keeps the folders of all that runs now, and names them on standard error. A panic does it by itself.
#[expect(clippy::print_stderr, reason = "shown beside the message of what failed")]
pub fn keep_all() {
    for (path, guard) in locked(&FOLDERS).drain(..) {
        if let Some(guard) = guard.upgrade() {
            locked(&guard).dismiss();
            eprintln!("logs are kept in {}", path.display());
        }
    }
}

static FOLDERS: Mutex<Vec<(PathBuf, Weak<Mutex<Guard>>)>> = Mutex::new(Vec::new());

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    #[test]
    fn is_removed_when_nothing_panics() {
        let fine = Folder::new("test").unwrap();
        let path = fine.path().to_owned();
        fine.write("log", "all is well").unwrap();
        drop(fine);
        assert!(!path.exists());
    }

    /// In a process of its own: a panic keeps the folders of all that runs beside it.
    #[test]
    fn is_kept_and_named_when_something_panics() {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["--exact", "processes::folder::tests::panics_beside_a_folder", "--nocapture"]);
        let failed = test.env(PANICS, "1").output().unwrap();
        assert!(!failed.status.success());
        let said = String::from_utf8(failed.stderr).unwrap();
        let path = said.lines().find_map(|line| line.strip_prefix("logs are kept in ")).unwrap();
        assert_eq!(fs::read_to_string(Path::new(path).join("log")).unwrap(), "all was well");
        fs::remove_dir_all(path).unwrap();
    }

    /// The other half of the test above; does nothing otherwise.
    #[test]
    fn panics_beside_a_folder() {
        if env::var_os(PANICS).is_some() {
            let folder = Folder::new("test").unwrap();
            folder.write("log", "all was well").unwrap();
            panic!("a test that fails (on purpose)");
        }
    }

    const PANICS: &str = "BERTH_TESTS_PANICS";
}

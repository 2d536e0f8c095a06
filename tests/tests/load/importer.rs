//! What stands in for `docker exec -i NODE ctr -n k8s.io images import -`: a script that notes what it got.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use berth_tests::wait::until;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A script, and the folder for its notes. Its first argument is the node's name, by whose end it behaves: `-fails`,
/// `-stalls`, `-waits` (until it is told to go on), else it takes all.
pub(super) struct Importer {
    folder: TempDir,
}

impl Importer {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        script(&folder.path().join("importer"), SCRIPT);
        Self { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For `--via`.
    pub(super) fn via(&self) -> String {
        format!("{} {{node}} 'two words' ctr images import -", self.path("importer").display())
    }

    /// The sha256 of what came for `node`, where anything did.
    pub(super) fn got(&self, node: &str) -> Option<String> {
        fs::read_to_string(self.path(&format!("{node}.sum"))).ok()?.split_whitespace().next().map(str::to_owned)
    }

    /// The arguments that came with it, one a line.
    pub(super) fn arguments(&self, node: &str) -> String {
        fs::read_to_string(self.path(&format!("{node}.arguments"))).unwrap_or_default()
    }

    /// Waits until it runs for `node`.
    pub(super) async fn running(&self, node: &str) -> u32 {
        let file = self.path(&format!("{node}.id"));
        until("the importer runs", LIMIT, async || {
            let id = fs::read_to_string(&file)?;
            id.trim().parse().with_context(|| format!("its id is {id:?}"))
        })
        .await
        .unwrap()
    }

    /// Lets one that waits go on.
    pub(super) fn go_on(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

/// Waits until a process is gone; a dead one that nobody has waited for counts as gone.
pub(super) async fn gone(process: u32) {
    until("the process is gone", LIMIT, async || {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        ensure!(state.is_empty() || state.contains(") Z "), "it still runs: {state}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Writes a shell script.
pub(super) fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(super) fn sum(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

const SCRIPT: &str = r#"#!/bin/sh
notes=$(dirname "$0")
printf '%s\n' "$@" > "$notes/$1.arguments"
case $1 in
*-fails)
    cat > /dev/null
    echo 'ctr: failed to extract layer: no space left on device' >&2
    exit 3
    ;;
*-stalls)
    sleep 600 &
    echo $! > "$notes/$1.id"
    wait
    ;;
*-waits)
    echo $$ > "$notes/$1.id"
    while [ ! -e "$notes/go" ]; do sleep 0.05; done
    ;;
esac
sha256sum > "$notes/$1.sum"
echo 'unpacking docker.io/library/app:dev ... done'
"#;
pub(super) const LIMIT: Duration = Duration::from_secs(30);

//! The files that a configuration was read from: whether they say something else now.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Files as they were: the configuration's own, and those that it names.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// With a hash of what was in them; none where they could not be read.
    seen: Vec<(PathBuf, Option<Hash>)>,
}

type Hash = [u8; 32];

impl Files {
    /// The file `path`, in which `text` was found, and the files that it names as they are now.
    pub(super) fn new(path: &Path, text: &str, named: impl Iterator<Item = PathBuf>) -> Self {
        let own = (path.to_owned(), Some(Sha256::digest(text).into()));
        let named = named.map(|path| {
            let seen = hash(&path);
            (path, seen)
        });
        Self { seen: iter::once(own).chain(named).collect() }
    }

    /// Whether one of them says something else now. Reads them all.
    pub fn changed(&self) -> bool {
        self.seen.iter().any(|(path, seen)| hash(path) != *seen)
    }
}

/// By content: a mounted `ConfigMap` or Secret changes by moving a link, and keeps its times.
fn hash(path: &Path) -> Option<Hash> {
    fs::read(path).ok().map(|content| Sha256::digest(content).into())
}

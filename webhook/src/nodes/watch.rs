//! The watch of the nodes: the only writer of the index. (being written)

use std::sync::{PoisonError, RwLock};

use super::Index;

/// What the nodes hold, now.
#[derive(Debug)]
pub struct Nodes {
    index: RwLock<Index>,
}

impl Nodes {
    /// Nodes that do not change: from a file, or in tests.
    pub fn fixed(index: Index) -> Self {
        Self { index: RwLock::new(index) }
    }

    /// Looks at the index under a short lock.
    pub fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

//! stub
use super::Index;
use std::sync::{PoisonError, RwLock};
/// stub
#[derive(Debug, Default)]
pub struct Nodes {
    index: RwLock<Index>,
}
impl Nodes {
    /// stub
    pub fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

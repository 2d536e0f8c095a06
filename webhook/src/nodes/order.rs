//! Nodes in the order of their names.

use super::names::{Interner, room};

/// Some nodes, by number, in the order of their names: four bytes each.
#[derive(Debug, Default)]
pub(super) struct Ordered(Vec<u32>);

impl Ordered {
    /// The numbers, in the order of the names.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// Puts a node in; `nodes` knows the names.
    pub(super) fn insert<T>(&mut self, number: u32, nodes: &Interner<str, T>) {
        let Err(place) = self.place(number, nodes) else { return };
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(room(self.0.len()));
        }
        self.0.insert(place, number);
    }

    /// Takes a node out.
    pub(super) fn remove<T>(&mut self, number: u32, nodes: &Interner<str, T>) {
        if let Ok(place) = self.place(number, nodes) {
            self.0.remove(place);
        }
    }

    fn place<T>(&self, number: u32, nodes: &Interner<str, T>) -> Result<usize, usize> {
        let name = nodes.key(number);
        match self.0.last() {
            Some(last) if nodes.key(*last) < name => Err(self.0.len()), // as in a list that is being read
            _ => self.0.binary_search_by(|other| nodes.key(*other).cmp(name)),
        }
    }
}

//! Things that many nodes repeat, kept once: a number of four bytes stands for each.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

/// Keys and what is known of each, by number; a number is free for the next key when nobody holds it any more.
#[derive(Debug)]
pub(super) struct Interner<K: ?Sized, T> {
    numbers: HashMap<Arc<K>, u32>,
    slots: Vec<Option<Slot<K, T>>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<K: ?Sized, T> {
    key: Arc<K>,
    holders: u32,
    value: T,
}

impl<K: ?Sized, T> Default for Interner<K, T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<K: Eq + Hash + ?Sized, T> Interner<K, T> {
    /// The number of `key`, if anybody holds it.
    pub(super) fn find(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Counts one more holder of `key` and returns its number; `value` is made for a key that is new.
    pub(super) fn hold<Q>(&mut self, key: Q, value: impl FnOnce() -> T) -> u32
    where
        Q: Borrow<K> + Into<Arc<K>>,
    {
        if let Some(number) = self.find(key.borrow()) {
            self.slot_mut(number).holders += 1;
            return number;
        }
        let key: Arc<K> = key.into();
        let slot = Some(Slot { key: Arc::clone(&key), holders: 1, value: value() });
        let number = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(room(self.slots.len()));
            }
            self.slots.push(None);
            last(&self.slots)
        });
        if let Some(place) = self.slots.get_mut(number as usize) {
            *place = slot;
        }
        self.numbers.insert(key, number);
        number
    }

    /// Counts one holder less. Returns the key and its value when that was the last: both are then forgotten.
    pub(super) fn release(&mut self, number: u32) -> Option<(Arc<K>, T)> {
        let slot = self.slot_mut(number);
        slot.holders -= 1;
        if slot.holders > 0 {
            return None;
        }
        let slot = self.slots.get_mut(number as usize)?.take()?;
        self.numbers.remove(&slot.key);
        self.free.push(number);
        Some((slot.key, slot.value))
    }

    /// The key behind a held number.
    pub(super) fn key(&self, number: u32) -> &Arc<K> {
        &self.slot(number).key
    }

    /// What is known of the key behind a held number.
    pub(super) fn value(&self, number: u32) -> &T {
        &self.slot(number).value
    }

    /// The same, to change it.
    pub(super) fn value_mut(&mut self, number: u32) -> &mut T {
        &mut self.slot_mut(number).value
    }

    /// All keys that are held.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.numbers.keys().map(|key| &**key)
    }

    /// How many keys are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    #[expect(clippy::indexing_slicing, clippy::expect_used, reason = "only numbers that are held come here")]
    fn slot(&self, number: u32) -> &Slot<K, T> {
        self.slots[number as usize].as_ref().expect("a held number")
    }

    #[expect(clippy::indexing_slicing, clippy::expect_used, reason = "only numbers that are held come here")]
    fn slot_mut(&mut self, number: u32) -> &mut Slot<K, T> {
        self.slots[number as usize].as_mut().expect("a held number")
    }
}

/// The number of the last slot.
#[expect(clippy::expect_used, reason = "four thousand million slots do not fit into memory")]
fn last<S>(slots: &[S]) -> u32 {
    u32::try_from(slots.len() - 1).expect("fewer slots than numbers")
}

/// By how many places to grow, where doubling would leave a quarter of the memory empty on average.
pub(super) fn room(length: usize) -> usize {
    length / 8 + 4
}

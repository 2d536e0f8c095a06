//! A random number, so that many who were told to wait do not come back at the same moment.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
};

/// From 0 to 1. It spreads things out; nothing secret may depend on it.
pub(super) fn chance() -> f64 {
    let hash = RandomState::new().build_hasher().finish(); // keyed anew each time, by what the system calls random
    let half = u32::try_from(hash >> 32).unwrap_or_default();
    f64::from(half) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_spread() {
        let mut quarters = [0; 4];
        for _ in 0..4_000 {
            let chance = chance();
            assert!((0.0..=1.0).contains(&chance), "{chance}");
            let quarter = [0.25, 0.5, 0.75].iter().filter(|edge| chance >= **edge).count();
            quarters[quarter] += 1;
        }
        assert!(quarters.iter().all(|count| (800..1_200).contains(count)), "{quarters:?}");
    }
}

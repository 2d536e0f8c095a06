//! Plain values behind a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value: a panic elsewhere has left it whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

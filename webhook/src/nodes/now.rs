//! Both clocks at one moment.

use std::time::Instant;

use jiff::Timestamp;
use tokio::time;

/// Now, by the clock that only goes forward and by the one that others write down.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What ages are measured by.
    pub instant: Instant,
    /// What times in objects are compared with.
    pub wall: Timestamp,
}

impl Now {
    /// Reads the machine's clocks; the first stands still where tests stop it.
    pub fn read() -> Self {
        Self { instant: time::Instant::now().into_std(), wall: Timestamp::now() }
    }
}

//! Who has to go when a port is full.
//!
//! First whoever has not yet sent a review, so ten thousand silent connections cost honest callers nothing: theirs is
//! proven within milliseconds. But some room is left to those who come, and where others have taken it, the one goes that
//! nobody has used for the longest time: API servers use the one that they used last, and open another where they have
//! none. Whoever waits for an answer stays.

use std::{collections::VecDeque, mem, sync::Arc};

use tokio::task::AbortHandle;

use super::pace::Pace;

/// The connections of a port.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// In the order of their arrival. Some may be gone or proven by now.
    newcomers: VecDeque<Guest>,
    /// Those that are proven. Some may be gone by now.
    regulars: Vec<Guest>,
    /// How many came since they were last told apart.
    unsorted: usize,
}

#[derive(Debug)]
struct Guest {
    task: AbortHandle,
    pace: Arc<Pace>,
}

impl Guests {
    pub(super) fn push(&mut self, task: AbortHandle, pace: Arc<Pace>) {
        self.newcomers.push_back(Guest { task, pace });
        self.unsorted += 1;
        if self.unsorted >= SORT_EVERY {
            self.sort();
        }
    }

    /// Ends one of those that fill a port for `most`. False: everybody is being answered.
    pub(super) fn turn_away(&mut self, most: usize) -> bool {
        let crowded = self.newcomers.len() > most / NEWCOMERS_SHARE;
        let gone = if crowded {
            self.oldest_newcomer().or_else(|| self.idlest_regular())
        } else {
            self.idlest_regular().or_else(|| self.oldest_newcomer())
        };
        if let Some(guest) = &gone {
            guest.task.abort();
        }
        gone.is_some()
    }

    fn oldest_newcomer(&mut self) -> Option<Guest> {
        while let Some(guest) = self.newcomers.pop_front() {
            if guest.pace.proven() {
                self.regulars.push(guest);
            } else if !guest.task.is_finished() {
                return Some(guest);
            }
        }
        None
    }

    fn idlest_regular(&mut self) -> Option<Guest> {
        self.sort();
        let idle = self.regulars.iter().enumerate().filter_map(|(at, guest)| Some((guest.pace.idle_since()?, at)));
        let (_, at) = idle.min()?;
        Some(self.regulars.swap_remove(at))
    }

    /// Tells who is proven by now, and forgets who is gone.
    fn sort(&mut self) {
        self.unsorted = 0;
        self.newcomers.retain(|guest| !guest.task.is_finished());
        self.regulars.retain(|guest| !guest.task.is_finished());
        let newcomers = mem::take(&mut self.newcomers).into_iter();
        let (proven, unproven): (Vec<_>, Vec<_>) = newcomers.partition(|guest| guest.pace.proven());
        self.newcomers = unproven.into();
        self.regulars.extend(proven);
    }
}

/// Of a full port, this share is left to those who are not proven yet. The others are enough for API servers.
const NEWCOMERS_SHARE: usize = 4;
const SORT_EVERY: usize = 64;

//! The hold: the time that a new bundle is published before the first leaf needs it.

use std::time::{Duration, SystemTime};

use crate::{inspect::BACK_DATED, settings::Settings, state::State};

/// Since when the bundle is in every configuration, as far as it was noted.
pub(super) struct Hold {
    now: SystemTime,
    length: Duration,
    /// As the CA's Secret has it.
    noted: Option<SystemTime>,
    /// When the last of the configurations that had lost the bundle got it back. That stands in the configuration itself:
    /// nobody can write it again and again who sees the configuration as it was long ago.
    returned: Option<SystemTime>,
}

impl Hold {
    /// What `state` says. A moment that lies far ahead was noted by a clock that was wrong; by an hour they may differ.
    pub(super) fn of(now: SystemTime, state: &State, settings: &Settings) -> Self {
        let length = settings.hold;
        let sane = |moment: &SystemTime| {
            now.checked_add(length.saturating_add(BACK_DATED)).is_none_or(|limit| *moment <= limit)
        };
        let noted = state.authorities.as_ref().and_then(|stored| stored.content.published);
        let returned = state.configurations.iter().filter_map(|one| one.changed);
        Self { now, length, noted: noted.filter(sane), returned: returned.filter(sane).max() }
    }

    /// Whether it has begun: where a configuration loses the bundle from now on, it begins anew when that is back.
    pub(super) fn has_begun(&self) -> bool {
        self.noted.is_some()
    }

    /// When it began. API servers may still be about to learn of a loss that has been mended.
    pub(super) fn began(&self) -> Option<SystemTime> {
        self.noted.max(self.noted.and(self.returned))
    }

    /// When it is over.
    pub(super) fn ends(&self) -> Option<SystemTime> {
        self.began()?.checked_add(self.length)
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.ends().is_some_and(|end| end <= self.now)
    }

    /// The moment to be noted in the CA's Secret, where every configuration has the bundle; none where it stands there.
    pub(super) fn to_note(&self) -> Option<SystemTime> {
        let stands = self.noted.is_some() && self.noted >= self.returned;
        (!stands).then(|| self.returned.map_or(self.now, |returned| returned.max(self.now)))
    }
}

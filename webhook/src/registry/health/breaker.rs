//! The rules of a circuit breaker, without waiting and without locks: what a host's past means for the next question.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What a host's past means: it is asked, or left alone for a while, or asked once to see whether it is back.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker {
    state: State,
    window: Window,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    /// Everybody may ask.
    #[default]
    Closed,
    /// Nobody asks before `until`.
    Open { until: Instant, pause: Duration },
    /// One question is under way, and nobody else asks before it has ended.
    HalfOpen { pause: Duration },
}

/// Whether a question may go out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pass {
    /// It may.
    Go,
    /// It may, and decides for all others; [`Event::ProbeStarted`] takes the place.
    Probe,
    /// Not before this much time has passed.
    Wait(Duration),
}

/// What happens to a breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// The one question of a half-open breaker goes out.
    ProbeStarted,
    /// It ended without proving anything, or whoever asked has gone.
    ProbeAbandoned,
    /// The host answered, whatever it said.
    Answered { probe: bool },
    /// The host failed; this alone is enough where it has answered nothing for as long as `alone`.
    Failed { probe: bool, alone: Option<Duration> },
}

impl Breaker {
    /// Where it stands.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether a question may go out at `now`.
    pub(super) fn pass(&self, now: Instant) -> Pass {
        match self.state {
            State::Closed => Pass::Go,
            State::Open { until, .. } if until <= now => Pass::Probe,
            State::Open { until, .. } => Pass::Wait(until - now),
            State::HalfOpen { .. } => Pass::Wait(FIRST_PAUSE),
        }
    }

    /// The breaker after `event`; `chance`, from 0 to 1, keeps many breakers from opening again at the same moment.
    pub(super) fn after(mut self, event: Event, now: Instant, chance: f64) -> Self {
        self.state = match (self.state, event) {
            (State::Open { pause, .. }, Event::ProbeStarted) => State::HalfOpen { pause },
            (State::HalfOpen { pause }, Event::ProbeAbandoned) => State::Open { until: now, pause },
            (State::HalfOpen { .. }, Event::Answered { probe: true }) => {
                self.window = Window::default(); // what was before says nothing about what is back
                self.window.count(true, now);
                State::Closed
            }
            (State::HalfOpen { pause }, Event::Failed { probe: true, .. }) => {
                State::open(now, (pause * 2).min(LONGEST_PAUSE), chance)
            }
            (state, Event::Answered { .. }) => {
                self.window.count(true, now);
                state
            }
            (State::Closed, Event::Failed { alone, .. }) => {
                self.window.count(false, now);
                if self.window.is_sick(alone, now) { State::open(now, FIRST_PAUSE, chance) } else { State::Closed }
            }
            (state, Event::Failed { .. } | Event::ProbeStarted | Event::ProbeAbandoned) => state,
        };
        self
    }
}

impl State {
    fn open(now: Instant, pause: Duration, chance: f64) -> Self {
        Self::Open { until: now + shortened(pause, chance), pause }
    }
}

/// `pause`, less a random part of a quarter of it.
pub(super) fn shortened(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 4.0)
}

/// How the questions of the last ten seconds ended, by the second.
#[derive(Clone, Debug, Default)]
struct Window {
    seconds: VecDeque<Second>,
    /// When it answered for the last time.
    answered: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Second {
    since: Instant,
    answered: u32,
    failed: u32,
}

impl Window {
    fn count(&mut self, answered: bool, now: Instant) {
        while self.seconds.front().is_some_and(|second| second.since + WINDOW <= now) {
            self.seconds.pop_front();
        }
        if self.seconds.back().is_none_or(|second| second.since + SECOND <= now) {
            self.seconds.push_back(Second { since: now, answered: 0, failed: 0 });
        }
        if let Some(second) = self.seconds.back_mut() {
            let count = if answered { &mut second.answered } else { &mut second.failed };
            *count = count.saturating_add(1);
        }
        if answered {
            self.answered = Some(now);
        }
    }

    /// The rule, right after a failure was counted.
    fn is_sick(&self, alone: Option<Duration>, now: Instant) -> bool {
        let failed: u32 = self.seconds.iter().map(|second| second.failed).fold(0, u32::saturating_add);
        let answered: u32 = self.seconds.iter().map(|second| second.answered).fold(0, u32::saturating_add);
        let silent = |long| self.answered.is_none_or(|answered| answered + long <= now);
        alone.is_some_and(silent) || (failed >= FAILURES && failed > answered)
    }
}

/// How long endings count.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
/// Failures that open a breaker, if they are more than half of the endings.
const FAILURES: u32 = 5;
/// How long an open breaker lets nobody ask, at first; then twice as long each time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long at most.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

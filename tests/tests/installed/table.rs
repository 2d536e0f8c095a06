//! What came of the calls of each experiment.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::load::{Call, Outcome, Way};

/// One experiment.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: String,
    took: Duration,
    calls: usize,
    /// Pods that were let in as they were: failures, but where Berth is being removed.
    unchanged: usize,
    removed: bool,
    /// What failed, and how often.
    failed: BTreeMap<(Way, String), usize>,
    unheard: usize,
    slowest: Duration,
    /// Failures that nobody can help, and what makes them so.
    allowed: usize,
    remarks: Vec<String>,
}

impl Row {
    /// What came of `calls`.
    pub(crate) fn new(name: String, took: Duration, calls: &[Call]) -> Self {
        let mut failed = BTreeMap::new();
        let (mut unchanged, mut unheard) = (0, 0);
        for call in calls {
            match &call.outcome {
                Outcome::Answered => (),
                Outcome::Unchanged => unchanged += 1,
                Outcome::Failed(what) => *failed.entry((call.way, what.clone())).or_default() += 1,
                Outcome::Unheard => unheard += 1,
            }
        }
        Self {
            name,
            took,
            calls: calls.len() - unheard,
            unchanged,
            failed,
            unheard,
            slowest: calls.iter().map(|call| call.took).max().unwrap_or_default(),
            removed: false,
            allowed: 0,
            remarks: Vec::new(),
        }
    }

    /// So many of its calls may fail.
    #[must_use]
    pub(crate) fn allowing(self, allowed: usize) -> Self {
        Self { allowed, ..self }
    }

    /// Berth is removed meanwhile: Pods that are let in as they are, are let in.
    #[must_use]
    pub(crate) fn removed(self) -> Self {
        Self { removed: true, ..self }
    }

    /// Something else that is worth knowing.
    #[must_use]
    pub(crate) fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remarks.push(remark.into());
        self
    }

    /// Why it proves nothing good, if so.
    pub(crate) fn fault(&self) -> Option<String> {
        let failed = self.failures();
        if self.calls < FEWEST {
            return Some(format!("{} calls prove nothing: {self}", self.calls));
        }
        (failed > self.allowed).then(|| format!("{failed} calls failed, and {} may: {self}", self.allowed))
    }

    fn failures(&self) -> usize {
        let unchanged = if self.removed { 0 } else { self.unchanged };
        self.failed.values().sum::<usize>() + unchanged
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = if self.allowed > 0 { format!(" (allowed: {})", self.allowed) } else { String::new() };
        let what = self.failed.iter().map(|((way, what), count)| format!("{count} × {way:?}: {what}"));
        let unchanged = (self.unchanged > 0).then(|| format!("{} let in unchanged", self.unchanged));
        let unheard = (self.unheard > 0).then(|| format!("{} not taken by the API server", self.unheard));
        let remarks: Vec<_> = what.chain(unchanged).chain(unheard).chain(self.remarks.iter().cloned()).collect();
        write!(
            f,
            "| {} | {:.0} s | {} | {}{allowed} | {} ms | {} |",
            self.name,
            self.took.as_secs_f64(),
            self.calls,
            self.failures(),
            self.slowest.as_millis(),
            remarks.join("; "),
        )
    }
}

/// The first lines of the table of all rows, as Markdown has tables.
pub(crate) const HEAD: &str = "\
| experiment | took | calls | failed | slowest call | |
|---|---|---|---|---|---|
";
/// Calls that an experiment needs to say anything.
const FEWEST: usize = 20;

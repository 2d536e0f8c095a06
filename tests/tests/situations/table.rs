//! The table of outcomes.

use berth_tests::outcome::Outcome;

/// One line: a situation, and what came out in each way to run it. None: that makes no sense there.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) situation: &'static str,
    /// When the nodes' lists, or the registry, say all there is to say.
    pub(crate) off: Option<Outcome>,
    pub(crate) on: Option<Outcome>,
    /// Applied within a second of the import or push.
    pub(crate) soon_off: Option<Outcome>,
    pub(crate) soon_on: Option<Outcome>,
    /// The same, after `berth load` in place of the import.
    pub(crate) soon_loaded: Option<Outcome>,
}

impl Row {
    /// A line without outcomes.
    pub(crate) fn new(situation: &'static str) -> Self {
        Self { situation, off: None, on: None, soon_off: None, soon_on: None, soon_loaded: None }
    }

    /// Without Berth and with it.
    pub(crate) fn with(self, [off, on]: [Outcome; 2]) -> Self {
        Self { off: Some(off), on: Some(on), ..self }
    }

    /// Both, applied within a second.
    pub(crate) fn soon(self, [off, on]: [Outcome; 2]) -> Self {
        Self { soon_off: Some(off), soon_on: Some(on), ..self }
    }

    /// After `berth load`.
    pub(crate) fn loaded(self, loaded: Outcome) -> Self {
        Self { soon_loaded: Some(loaded), ..self }
    }
}

/// All lines, as Markdown has tables.
pub(crate) fn text(rows: &[&Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.push(HEAD.map(|_| "---".to_owned()));
    lines.extend(rows.iter().map(|row| {
        let cell = |outcome: &Option<Outcome>| outcome.as_ref().map_or("–".to_owned(), ToString::to_string);
        let Row { situation, off, on, soon_off, soon_on, soon_loaded } = row;
        [(*situation).to_owned(), cell(off), cell(on), cell(soon_off), cell(soon_on), cell(soon_loaded)]
    }));
    let lines: Vec<_> = lines.iter().map(|line| format!("| {} |", line.join(" | "))).collect();
    [&lines.join("\n"), "\n"].concat()
}

const HEAD: [&str; 6] = [
    "situation",
    "without Berth",
    "with Berth",
    "applied within 1 s, without Berth",
    "applied within 1 s, with Berth",
    "applied within 1 s of `berth load`",
];

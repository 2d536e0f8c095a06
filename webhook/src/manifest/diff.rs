//! The difference that edits make, in the unified format that `patch` and `git apply` take.

use std::{fmt::Write as _, ops::Range};

use super::edit::{self, Edit};

/// The unified difference between `text` and `text` with the sorted `edits` made; empty where there are none.
pub(super) fn unified(name: &str, text: &str, edits: &[Edit]) -> String {
    let lines = Lines::of(text);
    let regions = lines.regions(edits);
    if regions.is_empty() {
        return String::new();
    }
    let mut result = format!("--- {name}\n+++ {name}\n");
    let mut grown = 0; // lines that the hunks before have added; edits never remove any
    for hunk in regions.chunk_by(|one, next| next.old.start - one.old.end <= 2 * CONTEXT) {
        grown += write_hunk(&mut result, &lines.texts, hunk, grown);
    }
    result
}

/// The lines of a text, and the bytes where they begin.
struct Lines<'t> {
    texts: Vec<&'t str>,
    starts: Vec<usize>,
}

/// Lines that change, and what they become.
struct Region {
    old: Range<usize>,
    new: Vec<String>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let texts: Vec<_> = text.split_inclusive('\n').collect();
        let start = |end: &mut usize, line: &&str| Some(std::mem::replace(end, *end + line.len()));
        let starts = texts.iter().scan(0, start).collect();
        Self { texts, starts }
    }

    /// The changed lines, joined where one line holds several edits.
    fn regions(&self, edits: &[Edit]) -> Vec<Region> {
        let line = |offset: usize| self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let placed: Vec<_> = edits.iter().map(|edit| (line(edit.start)..line(edit.end) + 1, edit)).collect();
        let joined = placed.chunk_by(|(one, _), (next, _)| next.start < one.end);
        joined
            .filter_map(|edits| {
                let old = edits.first()?.0.start..edits.last()?.0.end;
                Some(self.region(old, edits.iter().map(|(_, edit)| (*edit).clone()).collect()))
            })
            .collect()
    }

    /// One region, without the lines at its start that stay as they are.
    fn region(&self, old: Range<usize>, mut edits: Vec<Edit>) -> Region {
        let before = self.starts.get(old.start).copied().unwrap_or_default();
        for edit in &mut edits {
            edit.start -= before;
            edit.end -= before;
        }
        let was = self.texts.get(old.clone()).unwrap_or_default();
        let new = edit::apply(&was.concat(), &edits);
        let new: Vec<String> = new.split_inclusive('\n').map(str::to_owned).collect();
        let same = was.iter().zip(&new).take_while(|(old, new)| *old == new).count();
        Region { old: old.start + same..old.end, new: new.into_iter().skip(same).collect() }
    }
}

/// Writes one hunk with its context; returns how many lines it adds.
fn write_hunk(result: &mut String, lines: &[&str], hunk: &[Region], grown: usize) -> usize {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return 0 };
    let shown = first.old.start.saturating_sub(CONTEXT)..(last.old.end + CONTEXT).min(lines.len());
    let added: usize = hunk.iter().map(|region| region.new.len() - region.old.len().min(region.new.len())).sum();
    let (start, count) = (shown.start + 1, shown.len());
    let _infallible = writeln!(result, "@@ -{start},{count} +{},{} @@", start + grown, count + added);
    let mut at = shown.start;
    for region in hunk {
        write_lines(result, ' ', lines.get(at..region.old.start).unwrap_or_default());
        write_lines(result, '-', lines.get(region.old.clone()).unwrap_or_default());
        write_lines(result, '+', &region.new);
        at = region.old.end;
    }
    write_lines(result, ' ', lines.get(at..shown.end).unwrap_or_default());
    added
}

fn write_lines(result: &mut String, mark: char, lines: &[impl AsRef<str>]) {
    for line in lines.iter().map(AsRef::as_ref) {
        result.push(mark);
        result.push_str(line);
        if !line.ends_with('\n') {
            result.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Lines shown around a change, as `diff -u` does.
const CONTEXT: usize = 3;

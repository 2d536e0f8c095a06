//! The difference that edits make, in the unified format that `patch` and `git apply` take.

use std::{fmt::Write as _, ops::Range};

use super::edit::{self, Edit};

/// The unified difference between `text` and `text` with the sorted `edits` made; empty where there are none.
pub(super) fn unified(name: &str, text: &str, edits: &[Edit]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let regions = regions(text, &lines, edits);
    if regions.is_empty() {
        return String::new();
    }
    let mut result = format!("--- {name}\n+++ {name}\n");
    let mut grown = 0; // lines that the hunks before have added; edits never remove any
    for hunk in regions.chunk_by(|one, next| next.old.start - one.old.end <= 2 * CONTEXT) {
        grown += write_hunk(&mut result, &lines, hunk, grown);
    }
    result
}

/// Lines that change, and what they become.
struct Region {
    old: Range<usize>,
    new: Vec<String>,
}

/// The changed lines, joined where one line holds several edits.
fn regions(text: &str, lines: &[&str], edits: &[Edit]) -> Vec<Region> {
    let line_of = |offset: usize| text.get(..offset).unwrap_or(text).bytes().filter(|byte| *byte == b'\n').count();
    edits
        .iter()
        .map(|edit| (line_of(edit.start)..line_of(edit.end) + 1, edit))
        .collect::<Vec<_>>()
        .chunk_by(|(one, _), (next, _)| next.start < one.end)
        .filter_map(|edits| {
            let old = edits.first()?.0.start..edits.last()?.0.end;
            Some(region(lines, old, edits.iter().map(|(_, edit)| (*edit).clone()).collect()))
        })
        .collect()
}

/// One region, without the lines at its start that stay as they are.
fn region(lines: &[&str], old: Range<usize>, mut edits: Vec<Edit>) -> Region {
    let before: usize = lines.iter().take(old.start).map(|line| line.len()).sum();
    for edit in &mut edits {
        edit.start -= before;
        edit.end -= before;
    }
    let was = lines.get(old.clone()).unwrap_or_default();
    let new = edit::apply(&was.concat(), &edits);
    let new: Vec<String> = new.split_inclusive('\n').map(str::to_owned).collect();
    let same = was.iter().zip(&new).take_while(|(old, new)| *old == new).count();
    Region { old: old.start + same..old.end, new: new.into_iter().skip(same).collect() }
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

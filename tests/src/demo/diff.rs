//! What differs between two texts, line by line.

/// A line of the comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// In both.
    Same(String),
    /// Only in the first.
    Removed(String),
    /// Only in the second.
    Added(String),
    /// Lines in both that are left out, because nothing near them differs.
    Skipped,
}

/// What differs, with a little of what stands around it.
pub(super) fn diff(before: &str, after: &str) -> Vec<Line> {
    let lines = all_lines(before, after);
    let differs: Vec<bool> = lines.iter().map(|line| !matches!(line, Line::Same(_))).collect();
    let near = |place: usize| {
        let around = differs.get(place.saturating_sub(CONTEXT)..differs.len().min(place + CONTEXT + 1));
        around.is_some_and(|around| around.contains(&true))
    };
    let mut shown: Vec<_> =
        (0..).zip(lines).map(|(place, line)| if near(place) { line } else { Line::Skipped }).collect();
    shown.dedup_by(|next, last| *next == Line::Skipped && *last == Line::Skipped);
    shown
}

/// The shortest way from `before` to `after`: by the longest common subsequence, which is fast enough for a Pod.
fn all_lines(before: &str, after: &str) -> Vec<Line> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let common = common(&before, &after);
    let (mut lines, mut row, mut column) = (Vec::new(), 0, 0);
    let length = |row: usize, column: usize| common.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0);
    loop {
        match (before.get(row), after.get(column)) {
            (Some(old), Some(new)) if old == new => {
                lines.push(Line::Same((*old).to_owned()));
                (row, column) = (row + 1, column + 1);
            }
            (Some(old), new) if new.is_none() || length(row + 1, column) >= length(row, column + 1) => {
                lines.push(Line::Removed((*old).to_owned()));
                row += 1;
            }
            (_, Some(new)) => {
                lines.push(Line::Added((*new).to_owned()));
                column += 1;
            }
            (_, None) => return lines,
        }
    }
}

/// For every pair of positions, the length of the longest common subsequence of what follows.
fn common(before: &[&str], after: &[&str]) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![vec![0; after.len() + 1]];
    for old in before.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0];
        // From right to left: `right` is what was just computed, `pair` holds what is below and below to the right.
        for (new, pair) in after.iter().zip(below.windows(2)).rev() {
            let right = row.last().copied().unwrap_or(0);
            row.push(match pair {
                [_, diagonal] if old == new => diagonal + 1,
                [under, _] => right.max(*under),
                _ => right,
            });
        }
        row.reverse();
        rows.push(row);
    }
    rows.reverse();
    rows
}

/// Lines that are shown around a difference.
const CONTEXT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, after: &str, want: &str) {
        let shown = diff(before, after).into_iter().map(|line| match line {
            Line::Same(text) => format!(" {text}"),
            Line::Removed(text) => format!("-{text}"),
            Line::Added(text) => format!("+{text}"),
            Line::Skipped => "…".to_owned(),
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), want);
    }

    #[test]
    fn keeps_what_is_common() {
        check("", "", "");
        check("a\nb\nc", "a\nx\nc", " a -b +x  c");
        check("a", "b\na\nc", "+b  a +c");
        check("a\nb\nc", "c", "-a -b  c");
        check("a\nb", "", "-a -b");
    }

    #[test]
    fn leaves_out_what_is_far_from_any_difference() {
        check("a\nb", "a\nb", "…");
        check("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\nx", "…  4  5 -6 +x");
        check("1\n2\n3\n4\n5\n6\n7\n8", "x\n2\n3\n4\n5\n6\n7\ny", "-1 +x  2  3 …  6  7 -8 +y");
    }
}

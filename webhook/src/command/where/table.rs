//! The table: all columns, at full length and without colour into a pipe; what fits, at a terminal.

use jiff::Timestamp;

use super::{
    super::terminal::bytes,
    rows::{Origin, Row, called},
};
use crate::admission::place::Standing;

/// What the table is written to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// Stable, for programs.
    Pipe,
    /// For a person.
    Terminal { columns: usize, colour: bool, now: Timestamp },
}

/// Which columns there are, and how wide.
pub(super) struct Table {
    look: Look,
    columns: Vec<(Column, usize)>,
    left_out: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Column {
    Node,
    Status,
    Ready,
    Origin,
    Size,
    Since,
    Digest,
    Name,
}

impl Table {
    /// Wide enough for `rows`.
    pub(super) fn new(look: Look, rows: &[Row]) -> Self {
        let width = |column: Column| {
            let cells = rows.iter().map(|row| column.cell(row, look).chars().count());
            cells.chain([column.title().len()]).max().unwrap_or_default()
        };
        let mut columns: Vec<(Column, usize)> = Column::ALL.iter().map(|column| (*column, width(*column))).collect();
        let mut left_out = Vec::new();
        if let Look::Terminal { columns: room, .. } = look {
            columns.retain(|(column, _)| column.always() || rows.iter().any(|row| column.cell(row, look) != NOTHING));
            for column in Column::LEAST_FIRST {
                let there = columns.iter().position(|(other, _)| *other == column);
                if let Some(there) = there.filter(|_| total(&columns) > room) {
                    columns.remove(there);
                    left_out.push(column.title());
                }
            }
            let surplus = total(&columns).saturating_sub(room);
            if let Some((_, first)) = columns.first_mut() {
                *first = first.saturating_sub(surplus).max(SHORTEST);
            }
        }
        Self { look, columns, left_out }
    }

    /// Columns for which there is no room.
    pub(super) fn left_out(&self) -> &[&'static str] {
        &self.left_out
    }

    /// Titles and rows.
    pub(super) fn whole(&self, rows: &[Row]) -> String {
        let lines = rows.iter().map(|row| self.row(row));
        [self.titles()].into_iter().chain(lines).collect()
    }

    pub(super) fn titles(&self) -> String {
        self.line(|column| column.title().to_owned(), |_| None)
    }

    pub(super) fn row(&self, row: &Row) -> String {
        self.line(|column| column.cell(row, self.look), |column| self.paint(column, row))
    }

    /// A node that is gone.
    pub(super) fn gone(&self, node: &str) -> String {
        let cell = |column| match column {
            Column::Node => node.to_owned(),
            Column::Status => "gone".to_owned(),
            _ => NOTHING.to_owned(),
        };
        self.line(cell, |_| None)
    }

    fn line(&self, cell: impl Fn(Column) -> String, paint: impl Fn(Column) -> Option<&'static str>) -> String {
        let mut line = String::new();
        for (column, width) in &self.columns {
            // Rows that come later may be wider: a program wants them whole.
            let text = match self.look {
                Look::Pipe => cell(*column),
                Look::Terminal { .. } => cut(&cell(*column), *width),
            };
            let padding = " ".repeat(width.saturating_sub(text.chars().count()) + GAP.len());
            match paint(*column) {
                Some(colour) => line.extend([colour, &text, PLAIN, &padding]),
                None => line.extend([text.as_str(), &padding]),
            }
        }
        let mut line = line.trim_end().to_owned();
        line.push('\n');
        line
    }

    fn paint(&self, column: Column, row: &Row) -> Option<&'static str> {
        let Look::Terminal { colour: true, .. } = self.look else { return None };
        match column {
            Column::Status => Some(match row.status {
                Standing::Holder | Standing::Told => "\x1b[32m",
                Standing::Contested | Standing::Unknown => "\x1b[33m",
                Standing::Absent => "\x1b[2m",
            }),
            Column::Ready if !row.ready => Some("\x1b[31m"),
            _ => None,
        }
    }
}

impl Column {
    /// In the order of the table.
    const ALL: [Self; 8] =
        [Self::Node, Self::Status, Self::Ready, Self::Origin, Self::Size, Self::Since, Self::Digest, Self::Name];
    /// What goes first where there is too little room.
    const LEAST_FIRST: [Self; 6] = [Self::Digest, Self::Name, Self::Since, Self::Size, Self::Origin, Self::Ready];

    /// Says something of every node.
    fn always(self) -> bool {
        matches!(self, Self::Node | Self::Status | Self::Ready)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Node => "NODE",
            Self::Status => "STATUS",
            Self::Ready => "READY",
            Self::Origin => "ORIGIN",
            Self::Size => "SIZE",
            Self::Since => "SINCE",
            Self::Digest => "DIGEST",
            Self::Name => "LISTED-AS",
        }
    }

    /// Without spaces: a column is a word.
    fn cell(self, row: &Row, look: Look) -> String {
        let text = match self {
            Self::Node => Some(row.node.clone()),
            Self::Status => Some(called(row.status).to_owned()),
            Self::Ready => Some(ready(row)),
            Self::Origin => row.origin.map(|origin| {
                match origin {
                    Origin::Pulled => "pulled",
                    Origin::Imported => "imported",
                    Origin::Loaded => "loaded",
                }
                .to_owned()
            }),
            Self::Size => {
                let size = row.size.and_then(|size| u64::try_from(size).ok());
                size.map(|size| bytes(size).replace(' ', ""))
            }
            Self::Since => row.since.map(|since| match look {
                Look::Pipe => since.to_string(),
                Look::Terminal { now, .. } => age(now, since),
            }),
            Self::Digest => row.digest.as_ref().map(|digest| match look {
                Look::Pipe => digest.clone(),
                Look::Terminal { .. } => digest.chars().take(SHORT_DIGEST).collect(),
            }),
            Self::Name => row.name.clone(),
        };
        text.unwrap_or_else(|| NOTHING.to_owned())
    }
}

/// In the words of `kubectl get nodes`.
fn ready(row: &Row) -> String {
    let ready = if row.ready { "Ready" } else { "NotReady" };
    if row.cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

/// `12s`, `3m`, `5h`, `8d`, as kubectl rounds.
fn age(now: Timestamp, since: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Columns of a line.
fn total(columns: &[(Column, usize)]) -> usize {
    let gaps = columns.len().saturating_sub(1) * GAP.len();
    columns.iter().map(|(_, width)| width).sum::<usize>() + gaps
}

/// The text, or its beginning and a mark that there is more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

const GAP: &str = "  ";
const NOTHING: &str = "-";
const PLAIN: &str = "\x1b[0m";
/// Letters of a digest that tell it from others: `sha256:` and twelve digits.
const SHORT_DIGEST: usize = 7 + 12;
/// Letters of a node's name that stay in any case.
const SHORTEST: usize = 4;

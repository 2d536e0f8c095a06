//! `--watch`: at a terminal the table is drawn anew; into a pipe go the rows that change.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde_json::json;
use tokio::time::{self, MissedTickBehavior};

use super::{
    super::signals::Signals,
    Failure, Format, Outcome, Seen,
    rows::{Report, Row},
    say,
    table::{Look, Table},
    terminal, written,
};
use crate::{
    follow::{WATCH_SECONDS, attentive},
    nodes::{Node, Now},
};

/// Goes on until it is interrupted, or nobody reads any more.
pub(super) async fn run(client: Client, mut seen: Seen, output: Format) -> Result<Outcome, Failure> {
    let broken = |error: io::Error| Failure::Unavailable(error.into());
    let mut signals = Signals::listen().map_err(broken)?;
    let config = watcher::Config { timeout: Some(WATCH_SECONDS), ..watcher::Config::default() };
    let api = Api::<Node>::all(attentive(client, || ()));
    let mut events = pin!(watcher::watcher(api, config).default_backoff());
    // Ages grow, and what was told becomes stale, without any news.
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut view = View::new(output, &seen.report(Now::read())).map_err(broken)?;
    let mut whole = true;
    loop {
        tokio::select! {
            _signal = signals.first() => return Ok(Outcome::Done),
            event = events.next() => match event {
                Some(Ok(event)) => whole = fold(&mut seen, &event, whole),
                Some(Err(error)) => view.trouble(&super::super::cluster::root(&error)),
                None => return Ok(Outcome::Done),
            },
            _ = ticks.tick() => {
                // Half a list looks as if the other nodes did not exist.
                if whole && !view.update(&seen.report(Now::read())).map_err(broken)? {
                    return Ok(Outcome::Done);
                }
            }
        }
    }
}

/// Takes in some news, and says whether all nodes are known.
fn fold(seen: &mut Seen, event: &Event<Node>, whole: bool) -> bool {
    match event {
        Event::Init => seen.begin(),
        Event::InitDone => seen.end(),
        Event::InitApply(node) | Event::Apply(node) => seen.apply(node),
        Event::Delete(node) => seen.remove(node),
    }
    match event {
        Event::Init | Event::InitApply(_) => false,
        Event::InitDone => true,
        Event::Apply(_) | Event::Delete(_) => whole,
    }
}

/// What was shown.
enum View {
    /// The text that stands at the terminal.
    Terminal(String),
    /// The rows that were written, by node.
    Rows { output: Format, table: Table, written: BTreeMap<String, Row>, notes: Vec<String> },
}

impl View {
    fn new(output: Format, report: &Report) -> io::Result<Self> {
        if output == Format::Table && terminal::size(&io::stdout()).is_some() {
            return Ok(Self::Terminal(String::new()));
        }
        let table = Table::new(Look::Pipe, &report.rows);
        if output == Format::Table {
            write(&table.titles())?;
        }
        Ok(Self::Rows { output, table, written: BTreeMap::new(), notes: Vec::new() })
    }

    /// Shows what is new; false where nobody reads it.
    fn update(&mut self, report: &Report) -> io::Result<bool> {
        match self {
            Self::Terminal(shown) => {
                let frame = frame(report);
                let is_new = frame != *shown;
                let up = shown.lines().count();
                let back = if up > 0 { format!("\x1b[{up}A\x1b[J") } else { String::new() };
                if is_new && !write(&[back.as_str(), &frame].concat())? {
                    return Ok(false);
                }
                *shown = frame;
                Ok(true)
            }
            Self::Rows { output, table, written, notes } => {
                let text = changes(*output, table, written, &report.rows);
                let reads = text.is_empty() || write(&text)?;
                if *output == Format::Table {
                    let now = super::notes::below(report, &[]);
                    now.iter().filter(|note| !notes.contains(note)).for_each(|note| say(note));
                    *notes = now;
                }
                Ok(reads)
            }
        }
    }

    /// Says that the watch broke off; it is taken up again.
    fn trouble(&mut self, error: &str) {
        if let Self::Terminal(shown) = self {
            shown.clear(); // the next picture goes below
        }
        say(&format!("the cluster does not answer: {error}"));
    }
}

/// The rows that are others than those that were written.
fn changes(output: Format, table: &Table, written: &mut BTreeMap<String, Row>, rows: &[Row]) -> String {
    let gone: Vec<String> = written.keys().filter(|node| rows.iter().all(|row| row.node != **node)).cloned().collect();
    let gone = gone.into_iter().map(|node| {
        written.remove(&node);
        match output {
            Format::Table => table.gone(&node),
            Format::Json => format!("{}\n", json!({ "node": node, "status": "gone" })),
        }
    });
    let mut text: String = gone.collect();
    text.extend(rows.iter().filter_map(|row| {
        if written.get(&row.node).is_some_and(|old| !old.differs(row)) {
            return None;
        }
        written.insert(row.node.clone(), row.clone());
        Some(match output {
            Format::Table => table.row(row),
            Format::Json => format!("{}\n", json!(row)),
        })
    }));
    text
}

impl Row {
    /// Whether somebody would want to know. Times that are computed from two clocks waver by a second.
    fn differs(&self, other: &Self) -> bool {
        let since = match (self.since, other.since) {
            (Some(one), Some(two)) => one.duration_since(two).unsigned_abs() > WAVER,
            (one, two) => one != two,
        };
        let still = |row: &Self| Self { since: None, ..row.clone() };
        since || still(self) != still(other)
    }
}

/// A picture that fits on the screen.
fn frame(report: &Report) -> String {
    let (table, notes) = written(report);
    let (columns, rows) = terminal::size(&io::stdout()).unwrap_or((80, 24));
    let notes: Vec<String> = notes.iter().flat_map(|note| folded(note, columns)).collect();
    let room = rows.saturating_sub(1 + notes.len().min(rows / 2)).max(2);
    let lines: Vec<&str> = table.lines().collect();
    let hidden = lines.len().saturating_sub(room);
    let shown = if hidden > 0 { room - 1 } else { lines.len() };
    let mut frame: Vec<String> = lines.iter().take(shown).map(|line| (*line).to_owned()).collect();
    if hidden > 0 {
        frame.push(format!("… and {} more nodes", lines.len() - shown));
    }
    frame.extend(notes.into_iter().take(rows.saturating_sub(1 + frame.len())));
    frame.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The lines of a sentence: a picture is only replaced if its lines can be counted.
fn folded(text: &str, columns: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(columns.max(1)).map(|line| line.iter().collect()).collect()
}

/// Writes the result at once; false where nobody reads it.
fn write(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Time between two looks at what has changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// By how much a time may waver.
const WAVER: Duration = Duration::from_secs(2);

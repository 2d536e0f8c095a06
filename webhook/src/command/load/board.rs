//! The progress at a terminal, below the results that stand already. Where there is no terminal, only the results.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::{self, Write as _},
    rc::Rc,
    time::Duration,
};

use super::super::terminal::{bytes, print, size};

/// What the nodes are doing.
pub(super) struct Board {
    /// Bytes of the archive.
    length: u64,
    /// Of all nodes.
    nodes: usize,
    ended: Cell<usize>,
    /// Bytes that the nodes have taken which are being loaded.
    taking: RefCell<BTreeMap<String, Rc<Cell<u64>>>>,
    live: Live,
}

impl Board {
    pub(super) fn new(length: u64, nodes: usize) -> Self {
        Self { length, nodes, ended: Cell::default(), taking: RefCell::default(), live: Live::default() }
    }

    /// A node begins; it counts its bytes in what it gets.
    pub(super) fn begin(&self, node: &str) -> Rc<Cell<u64>> {
        let taking = Rc::default();
        self.taking.borrow_mut().insert(node.to_owned(), Rc::clone(&taking));
        taking
    }

    /// A node has ended: its result, to standard output.
    pub(super) fn end(&self, node: &str, ended: &Result<Duration, String>) {
        self.taking.borrow_mut().remove(node);
        self.ended.set(self.ended.get() + 1);
        self.live.clear();
        let line = match ended {
            Ok(took) => format!("{node}: loaded in {:.1} s\n", took.as_secs_f64()),
            Err(why) => format!("{node}: {why}\n"),
        };
        // Whoever reads it may have stopped; the nodes are loaded anyway.
        let _unread = print(&line);
        self.draw();
    }

    /// Draws all nodes that are being loaded.
    pub(super) fn draw(&self) {
        let Some((width, _)) = size(&io::stderr()) else { return };
        let taking = self.taking.borrow();
        let mut lines: Vec<String> =
            taking.iter().map(|(node, taken)| line(node, taken.get(), self.length, width)).collect();
        if self.nodes > taking.len() && !taking.is_empty() {
            lines.push(cut(&format!("{} of {} nodes done", self.ended.get(), self.nodes), width));
        }
        self.live.show(&lines);
    }
}

/// `node-a  [#####.....]  132 MiB of 265 MiB`, in as many columns as there are.
fn line(node: &str, taken: u64, length: u64, width: usize) -> String {
    let share = |of: u64| taken.saturating_mul(of).checked_div(length).unwrap_or(of).min(of);
    let bar = usize::try_from(share(BAR)).unwrap_or_default();
    let bar = format!("[{}{}]", "#".repeat(bar), ".".repeat(usize::try_from(BAR).unwrap_or_default() - bar));
    let amount = if taken >= length { "all sent".to_owned() } else { format!("{} of {}", bytes(taken), bytes(length)) };
    let full = format!("{node}  {bar}  {amount}");
    let short = format!("{node} {} %", share(100));
    cut(if full.len() < width { &full } else { &short }, width)
}

/// A line that would go on below would not be found again.
fn cut(line: &str, width: usize) -> String {
    line.chars().take(width.saturating_sub(1)).collect()
}

/// That an archive is being read.
#[derive(Default)]
pub(super) struct Reading(Live);

impl Reading {
    /// How much there is of it.
    pub(super) fn draw(&self, amount: &str) {
        if let Some((width, _)) = size(&io::stderr()) {
            self.0.show(&[cut(&format!("reading the image: {amount}"), width)]);
        }
    }
}

/// Lines of standard error that are drawn again and again, and gone at the end.
#[derive(Default)]
struct Live(Cell<usize>);

impl Live {
    fn show(&self, lines: &[String]) {
        self.clear();
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        // A picture that cannot be drawn is no reason to stop.
        let _undrawn = io::stderr().write_all(text.as_bytes());
        self.0.set(lines.len());
    }

    fn clear(&self) {
        let up = self.0.replace(0);
        if up > 0 {
            let _undrawn = write!(io::stderr(), "\x1b[{up}A\x1b[J");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Columns of a bar.
const BAR: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_fits_into_every_terminal() {
        let mib = 1 << 20;
        assert_eq!(line("node-a", 132 * mib, 264 * mib, 80), "node-a  [##########..........]  132 MiB of 264 MiB");
        assert_eq!(line("node-a", 132 * mib, 264 * mib, 40), "node-a 50 %");
        assert_eq!(line("node-a", 264 * mib, 264 * mib, 200), "node-a  [####################]  all sent");
        assert_eq!(line("node-a", 0, 0, 80), "node-a  [####################]  all sent", "nothing to send");
        assert_eq!(line("node-a", 132 * mib, 264 * mib, 8), "node-a ");
        assert_eq!(line("node-a", u64::MAX, 1, 0), "");
    }
}

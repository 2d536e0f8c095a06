//! What the audience sees: paragraphs, blocks, differences and checked sentences; colour only at a terminal.

use std::{
    cell::RefCell,
    env,
    io::{self, IsTerminal as _, Stdout, Write as _},
};

use super::diff::Line;

/// Standard output, and the sentences that did not come true.
#[derive(Debug)]
pub struct Screen {
    out: Stdout,
    colour: bool,
    broken: RefCell<Vec<String>>,
}

impl Screen {
    /// Standard output; plain where it is no terminal or `NO_COLOR` is set.
    pub fn new() -> Self {
        let out = io::stdout();
        let colour = out.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out, colour, broken: RefCell::default() }
    }

    /// A headline, after an empty line.
    pub(super) fn heading(&self, text: &str) {
        self.print("");
        self.painted(BOLD, text);
    }

    /// A paragraph, wrapped.
    pub(super) fn text(&self, text: &str) {
        for line in wrapped(text, WIDTH) {
            self.print(&format!("   {line}"));
        }
    }

    /// A paragraph with a label in front of it.
    pub(super) fn labelled(&self, label: &str, text: &str) {
        for (number, line) in wrapped(text, WIDTH - LABEL).into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            self.print(&format!("   {label:<LABEL$}{line}"));
        }
    }

    /// What takes a moment now.
    pub(super) fn doing(&self, text: &str) {
        self.painted(DIM, &format!("   {text} …"));
    }

    /// Lines as they are, indented.
    pub(super) fn block(&self, text: &str) {
        for line in text.lines() {
            self.print(&format!("     {line}"));
        }
    }

    /// Lines that differ, in colour.
    pub(super) fn diff(&self, lines: &[Line]) {
        for line in lines {
            match line {
                Line::Same(text) => self.print(&format!("       {text}")),
                Line::Removed(text) => self.painted(RED, &format!("     - {text}")),
                Line::Skipped => self.painted(DIM, "       …"),
                Line::Added(text) => self.painted(GREEN, &format!("     + {text}")),
            }
        }
    }

    /// A sentence that must be true.
    pub(super) fn check(&self, sentence: &str, is_true: bool) {
        if is_true {
            self.painted(GREEN, &format!("   ✓ {sentence}"));
        } else {
            self.painted(RED, &format!("   ✗ NOT SO: {sentence}"));
            self.broken.borrow_mut().push(sentence.to_owned());
        }
    }

    /// The sentences that were not true.
    pub(super) fn broken(&self) -> Vec<String> {
        self.broken.borrow().clone()
    }

    fn painted(&self, colour: &str, text: &str) {
        if self.colour {
            self.print(&format!("{colour}{text}{RESET}"));
        } else {
            self.print(text);
        }
    }

    fn print(&self, line: &str) {
        // Nobody may be looking any more (`cargo demo | head`); what was started must still be ended in order.
        let _ = writeln!(self.out.lock(), "{line}");
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// `text` in lines of at most `width` characters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut()
            && (line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width)
        {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Characters of a line of text.
const WIDTH: usize = 100;
/// Characters of the label in front of a paragraph.
const LABEL: usize = 16;
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces_and_never_inside_words() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a-word-longer-than-the-line b", 5), ["a-word-longer-than-the-line", "b"]);
    }
}

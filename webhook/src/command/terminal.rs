//! What goes to standard output and to standard error, and what a terminal is there.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd,
};

use rustix::termios::tcgetwinsize;

/// Tells people something, apart from the result.
pub(super) fn say(line: &str) {
    // A closed standard error leaves nobody to tell.
    let _unheard = writeln!(io::stderr(), "{line}");
}

/// Writes the result. Whoever reads it may stop, as `head` does.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Whether standard output is a terminal, and its owner has nothing against colours (<https://no-color.org>).
pub(super) fn has_colour() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns and rows of the terminal at `stream`; none where it is none.
pub(super) fn size(stream: &(impl AsFd + io::IsTerminal)) -> Option<(usize, usize)> {
    if !stream.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(stream).ok().map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    // Some terminals do not know.
    Some(size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL))
}

/// `265 B`, `12.3 MiB`.
pub(super) fn bytes(number: u64) -> String {
    let mut unit = 0;
    let mut scaled = number;
    while scaled >= 1024 * 10 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    // One digit after the point, from the last step that was whole.
    match UNITS.get(unit + 1).filter(|_| scaled >= 1024) {
        Some(name) => format!("{}.{} {name}", scaled / 1024, scaled % 1024 * 10 / 1024),
        None => format!("{scaled} {}", UNITS.get(unit).unwrap_or(&"")),
    }
}

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
/// Columns and rows of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (number, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            ((9 << 20) + (1 << 19), "9.5 MiB"),
            (265 << 20, "265 MiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(number), want, "{number}");
        }
    }
}

//! What all benches print: ratios and counts, which repeat, instead of times, which do not.

#![allow(dead_code, reason = "no bench needs all of it")]

use std::{env, path::Path, process::Command};

/// Prints one line: what was measured, what came out, and what it must not exceed.
pub(crate) fn verdict(what: &str, figure: f64, most: f64) {
    let word = if figure <= most { "ok" } else { "TOO MUCH" };
    println!("{what:<72} {figure:>10.2}   must be at most {most:<8} {word}");
}

/// Instructions that one round of `mode` takes: this program runs itself under callgrind with `few` and with `many`
/// rounds, and the difference is divided. None where valgrind is missing.
pub(crate) fn instructions(mode: &str, few: u32, many: u32) -> Option<f64> {
    let count = |rounds: u32| -> Option<f64> {
        let out = env::temp_dir().join(format!("callgrind.{}.{mode}.{rounds}", std::process::id()));
        let ended = Command::new("valgrind")
            .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
            .arg(env::current_exe().ok()?)
            .args(["rounds", mode, &rounds.to_string()])
            .output()
            .ok()?;
        let total = if ended.status.success() { total(&out) } else { None };
        std::fs::remove_file(&out).ok();
        total
    };
    Some((count(many)? - count(few)?) / f64::from(many - few))
}

/// The mode and number of rounds that [`instructions`] asks this process for.
pub(crate) fn asked() -> Option<(String, u32)> {
    let mut arguments = env::args().skip_while(|argument| argument != "rounds").skip(1);
    Some((arguments.next()?, arguments.next()?.parse().ok()?))
}

/// The total that callgrind wrote.
fn total(file: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")))?.trim().parse().ok()
}

//! Durations as Go prints them: `10s`, `1m30s`, `1.5h`. The API server's `?timeout=` is one.

use std::time::Duration;

/// Parses what Go's `time.ParseDuration` accepts, but for a minus sign. None for anything else.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_ends = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(number_ends)?;
        let unit_ends = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_ends)?;
        seconds += number.parse::<f64>().ok()? * seconds_of(unit)?;
        rest = after;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milliseconds: Option<u64>) {
        assert_eq!(parse(text), milliseconds.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn reads_what_go_writes() {
        check("10s", Some(10_000));
        check("1m0s", Some(60_000));
        check("1h2m3.5s", Some(3_723_500));
        check("1.5s", Some(1500));
        check("300ms", Some(300));
        check("2000µs", Some(2));
        check("2000us", Some(2));
        check("1000000ns", Some(1));
        check(".5s", Some(500));
        check("+1s", Some(1000));
        check("0", Some(0));
        check("0s", Some(0));
    }

    #[test]
    fn refuses_the_rest() {
        for text in
            ["", "+", "10", "s", "-1s", "1d", "1s2", "1..5s", ".s", "1e3s", "NaNs", "infs", "10 s", "１s", "%31s"]
        {
            check(text, None);
        }
        check(&["9".repeat(400).as_str(), "h"].concat(), None);
    }
}

//! Single values: durations, sizes, choices. An error says what would be right.

use std::{path::PathBuf, str::FromStr, time::Duration};

use super::yaml::Value;

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Plain(text) if text == "true" => Ok(true),
        Value::Plain(text) if text == "false" => Ok(false),
        other => Err(format!("{} is not `true` or `false`", other.describe())),
    }
}

/// One of the words of `choices`.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Value) -> Result<T, String> {
    move |value| {
        let written = scalar(value).and_then(|text| choices.iter().find(|(word, _)| *word == text));
        written.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("{} is not one of {}", value.describe(), alternatives(&words))
        })
    }
}

/// Any text that `T` can be parsed from.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, String> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    let text = scalar(value).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("{} is not a text", value.describe()))
}

/// The name of a Kubernetes object: a DNS subdomain.
pub(super) fn object_name(value: &Value) -> Result<String, String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let wrong = || format!("{} is not the name of a Kubernetes object, as in `harbor-pull`", value.describe());
    let name = text(value).map_err(|_| wrong())?;
    let ends = [name.chars().next(), name.chars().next_back()];
    let plain = name.len() <= 253 && name.bytes().all(letter);
    if plain && ends.iter().flatten().all(char::is_ascii_alphanumeric) { Ok(name.to_owned()) } else { Err(wrong()) }
}

/// The name of a file.
pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from).map_err(|_| format!("{} is not the name of a file", value.describe()))
}

/// A whole number from `least` to `most`.
pub(super) fn count(least: usize, most: usize) -> impl Fn(&Value) -> Result<usize, String> {
    move |value| {
        let number = scalar(value).and_then(|text| text.parse().ok());
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("{} is not a whole number from {least} to {most}", value.describe()))
    }
}

/// A duration as in `0s`, `250ms`, `5m`, `24h`, `1h30m`.
pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    scalar(value).and_then(parse_duration).ok_or_else(|| {
        format!("{} is not a duration: numbers with units, as in `0s`, `250ms`, `5m`, `24h`", value.describe())
    })
}

/// A duration from `least` to `most`, which are written as given.
pub(super) fn duration_within(
    least: (Duration, &str),
    most: (Duration, &str),
) -> impl Fn(&Value) -> Result<Duration, String> {
    move |value| {
        let duration = duration(value)?;
        if (least.0..=most.0).contains(&duration) {
            return Ok(duration);
        }
        Err(format!("{} is not between `{}` and `{}`", value.describe(), least.1, most.1))
    }
}

/// A number of bytes as in `65536`, `512Ki`, `20Mi`, `1Gi`.
pub(super) fn bytes(value: &Value) -> Result<usize, String> {
    scalar(value)
        .and_then(parse_bytes)
        .ok_or_else(|| format!("{} is not a size in bytes, as in `65536`, `512Ki`, `20Mi`, `1Gi`", value.describe()))
}

/// `a`, `b`, `c`, each in backticks.
pub(super) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

fn scalar(value: &Value) -> Option<&str> {
    match value {
        Value::Plain(text) | Value::Text(text) => Some(text),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// A duration as in `0s`, `250ms`, `5m`, `24h`, `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let milliseconds = UNITS_OF_TIME.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_number(text)?;
    let factor = UNITS_OF_SIZE.iter().find(|(name, _)| *name == unit)?.1;
    usize::try_from(number.checked_mul(factor)?).ok()
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// Names and milliseconds.
const UNITS_OF_TIME: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
/// Names and bytes.
const UNITS_OF_SIZE: &[(&str, u64)] = &[("", 1), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_as_go_writes_them() {
        let read = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("0s"), Some(0));
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("5m"), Some(300_000));
        assert_eq!(read("24h"), Some(86_400_000));
        assert_eq!(read("1h30m"), Some(5_400_000));
        for wrong in ["", "5", "s", "5 m", "-1s", "5d", "1.5h", "5M", "99999999999999999999s", "9999999999999999999h"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_sizes_as_kubernetes_writes_them() {
        assert_eq!(parse_bytes("65536"), Some(65_536));
        assert_eq!(parse_bytes("512Ki"), Some(524_288));
        assert_eq!(parse_bytes("20Mi"), Some(20_971_520));
        assert_eq!(parse_bytes("1Gi"), Some(1_073_741_824));
        for wrong in ["", "Mi", "20M", "20MB", "20 Mi", "-1", "1.5Gi", "99999999999999999999", "99999999999Gi"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }
}

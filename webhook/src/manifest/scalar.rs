//! What a scalar means, as kubectl reads it: YAML 1.1, so that `0644` is 420 and `on` is true.
//!
//! # Source
//! kubectl reads manifests by `sigs.k8s.io/yaml`, which decodes by `go.yaml.in/yaml/v2`: its `resolve.go`.

use granit_parser::ScalarStyle;
use serde_json::{Number, Value};

/// The JSON that kubectl makes of a scalar.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&str>) -> Value {
    match tag {
        None if style == ScalarStyle::Plain => plain(text),
        Some("bool" | "int" | "float" | "null") => plain(text),
        _ => Value::from(text),
    }
}

/// The JSON key that kubectl makes of a key; none for `null`, which it refuses.
pub(super) fn key(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether `text`, written without quotes, is read as that text.
pub(super) fn is_plain_safe(text: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b':' | b'@' | b'-');
    let first_and_last = [text.bytes().next(), text.bytes().last()];
    first_and_last.iter().all(|byte| byte.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && text.bytes().all(harmless)
        && plain(text).is_string()
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if first == b'.' {
        return float(text);
    }
    if !first.is_ascii_digit() && first != b'+' && first != b'-' {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

/// Go's `ParseInt` with base 0: `0x`, `0o`, `0b`, and a bare leading zero for octal.
fn integer(text: &str) -> Option<Number> {
    let (sign, magnitude) = match text.split_at_checked(1) {
        Some(("-", rest)) => ("-", rest),
        Some(("+", rest)) => ("+", rest),
        _ => ("", text),
    };
    let lower = magnitude.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.as_str())
    } else {
        (10, lower.as_str())
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None; // a second sign
    }
    match i64::from_str_radix(&[sign, digits].concat(), radix) {
        Ok(signed) => Some(signed.into()),
        Err(_) if sign.is_empty() => u64::from_str_radix(digits, radix).ok().map(Number::from),
        Err(_) => None,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; a whole number is written as Go's JSON writes it, `1e3` as 1000.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_well = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let numeric = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+');
    if !starts_well || !unsigned.bytes().all(numeric) {
        return None; // Rust would also read `inf` and `nan`
    }
    let value: f64 = text.parse().ok()?;
    whole(value).or_else(|| Number::from_f64(value))
}

/// A whole number that both formats hold exactly.
fn whole(value: f64) -> Option<Number> {
    if value.fract() != 0.0 || value.abs() > EXACT {
        return None;
    }
    format!("{value:.0}").parse::<i64>().ok().map(Number::from)
}

/// 2⁵³: up to here every whole number has a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &Value) {
        assert_eq!(&plain(text), want, "{text:?}");
    }

    #[test]
    fn plain_scalars_mean_what_kubectl_makes_of_them() {
        check("0644", &json!(420));
        check("0o644", &json!(420));
        check("08", &json!(8)); // no octal number: a float
        check("0x1F", &json!(31));
        check("-0b11", &json!(-3));
        check("1_000", &json!(1000));
        check("1e3", &json!(1000));
        check("1.0", &json!(1));
        check("-1.5e-3", &json!(-0.0015));
        check(".5", &json!(0.5));
        check("18446744073709551615", &json!(18_446_744_073_709_551_615_u64));
        check("on", &json!(true));
        check("y", &json!(true));
        check("Off", &json!(false));
        check("~", &json!(null));
        check("", &json!(null));
    }

    #[test]
    fn texts_stay_texts() {
        for text in [
            "nginx:1.2",
            "1.2.3",
            "80:30",
            "2001-01-01",
            "1e",
            "e3",
            "--1",
            "+-1",
            "0x",
            "inf",
            "nan",
            "-",
            ".",
            "+",
            "oN",
            "1 2",
        ] {
            check(text, &json!(text));
        }
    }

    #[test]
    fn only_texts_need_no_quotes() {
        for text in ["nginx:1@sha256:ab", "IfNotPresent", "localhost:5001/app"] {
            assert!(is_plain_safe(text), "{text}");
        }
        for text in ["", "on", "12", "1e3", "[::1]:5000/x", "a: b", "a #b", "a:", "*a", "&a", "- a", "a b"] {
            assert!(!is_plain_safe(text), "{text}");
        }
    }
}

//! Writes a value as YAML, as people write it by hand.

use serde_json::Value;

/// The text of `value`, a mapping.
pub(super) fn yaml(value: &Value) -> String {
    let mut lines = Vec::new();
    write(value, 0, &mut lines);
    lines.join("\n")
}

/// Appends the lines of `value`; scalars and lists of scalars are one line, without indentation.
fn write(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if let Some(text) = inline(field) {
                    lines.push(format!("{indent}{key}: {text}"));
                } else {
                    lines.push(format!("{indent}{key}:"));
                    write(field, if field.is_array() { depth } else { depth + 1 }, lines);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = Vec::new();
                write(item, depth + 1, &mut inner);
                // The dash takes the place of the first line's indentation.
                let first = inner.first().map(|line| line.trim_start().to_owned()).unwrap_or_default();
                lines.push(format!("{indent}- {first}"));
                lines.extend(inner.into_iter().skip(1));
            }
        }
        scalar => lines.push(format!("{indent}{}", inline(scalar).unwrap_or_default())),
    }
}

/// One line, where that is enough.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if plain(text) => Some(text.clone()),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<_> = items.iter().filter_map(inline).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        Value::String(text) if text.contains('"') && !text.contains(['\'', '\n']) => Some(format!("'{text}'")),
        Value::Object(fields) if !fields.is_empty() => None,
        Value::Array(_) => None,
        other => Some(other.to_string()),
    }
}

/// Whether YAML reads `text` as this text without quotes; generous with quotes rather than clever.
fn plain(text: &str) -> bool {
    let starts = text.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let word = ["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    starts
        && !word
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:@ ".contains(letter))
        && !text.contains(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_like_a_manifest() {
        let value = json!({
            "spec": {
                "terms": [{ "key": "hostname", "values": ["a", "b"] }, { "key": "other", "values": [] }],
                "text": "yes", "number": 1, "sentence": "app: it waits", "quotes": "say \"x\"", "image": "x:v1@sha256:ab", "empty": {},
            },
        });
        let want = "\
spec:
  empty: {}
  image: x:v1@sha256:ab
  number: 1
  quotes: 'say \"x\"'
  sentence: \"app: it waits\"
  terms:
  - key: hostname
    values: [a, b]
  - key: other
    values: []
  text: \"yes\"";
        assert_eq!(yaml(&value), want);
    }
}

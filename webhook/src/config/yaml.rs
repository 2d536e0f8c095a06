//! YAML as a tree in which every key and value knows its line, so that all mistakes of a file can be reported at once.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Error, Spanned, budget, options::DuplicateKeyPolicy};

use super::load::Finding;

/// A value and the line it starts on.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: u64,
    /// What stands there.
    pub(super) value: Value,
}

/// What stands in a file. Text is kept as written: `1.20` is a tag, not a number.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// A number or `true`, `false`, without quotes.
    Plain(String),
    /// Any other scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the file's order.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    /// From 1.
    pub(super) line: u64,
    /// The key as written.
    pub(super) name: String,
}

/// Why a text is no YAML document.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct SyntaxError {
    /// From 1; 0 where it is not known.
    pub(super) line: u64,
    /// What is wrong.
    pub(super) text: String,
}

impl SyntaxError {
    /// The error as a remark about the file as a whole.
    pub(super) fn finding(self) -> Finding {
        Finding { line: self.line.max(1), key: String::new(), text: self.text }
    }
}

impl Value {
    /// The value as people would call it in a message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Plain(text) => format!("`{text}`"),
            Self::Text(text) => format!("`{}`", text.escape_debug()),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: budget! { max_depth: DEPTH_LIMIT },
        duplicate_keys: DuplicateKeyPolicy::Error,
        emit_comments: false, // else more than 32 lines of comment in a row are refused
        strict_booleans: true,
        with_snippet: false,
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(&error))?;
    Ok(node(raw, text))
}

fn syntax(error: &Error) -> SyntaxError {
    let line = error.location().map_or(0, |location| location.line());
    let text = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` stands here a second time; keep one"),
        Error::MultipleDocuments { .. } => "a second document starts here; a configuration is one document".to_owned(),
        Error::Budget { .. } => {
            format!("this is nested more than {DEPTH_LIMIT} deep, or too large, for a configuration")
        }
        other => format!("this is not YAML: {}", without_place(&other.to_string())),
    };
    SyntaxError { line, text }
}

/// The message without its own "at line 3, column 5" and further lines: the line stands in front already.
fn without_place(message: &str) -> &str {
    let first = message.lines().next().unwrap_or_default();
    first.find(" at line ").and_then(|end| first.get(..end)).unwrap_or(first)
}

/// What serde sees; the text of numbers is taken from the source afterwards.
#[derive(Debug)]
enum Raw {
    Null,
    Plain(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, source: &str) -> Node {
    let written = as_written(&raw, source);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Plain(text) => Value::Plain(written.unwrap_or(text)),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                (Key { line: key.referenced.line(), name: key.value }, node(value, source))
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { line: raw.referenced.line(), value }
}

fn as_written(raw: &Spanned<Raw>, source: &str) -> Option<String> {
    let span = raw.defined.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(length)?)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// Nesting of a document; a configuration needs five.
const DEPTH_LIMIT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fails(text: &str, line: u64, message: &str) {
        let error = read(text).expect_err(text);
        assert_eq!((error.line, error.text.as_str()), (line, message), "{text}");
    }

    #[test]
    fn keeps_lines_and_the_text_of_numbers() {
        let text = "a:\n  b: 1.20 # a tag\n  c: [0x1F, \"1.20\", true, off, ~]\n";
        let Value::Map(top) = read(text).unwrap().value else { panic!("no mapping") };
        let (key, value) = &top[0];
        assert_eq!((key.name.as_str(), key.line, value.line), ("a", 1, 2));
        let Value::Map(inner) = &value.value else { panic!("no mapping") };
        assert!(matches!(&inner[0].1, Node { line: 2, value: Value::Plain(text) } if text == "1.20"), "{inner:?}");
        let Value::List(items) = &inner[1].1.value else { panic!("no list") };
        let described: Vec<_> = items.iter().map(|item| item.value.describe()).collect();
        assert_eq!(described, ["`0x1F`", "`1.20`", "`true`", "`off`", "nothing"]);
        assert!(matches!(items[1].value, Value::Text(_)));
    }

    #[test]
    fn says_what_is_no_yaml() {
        fails("a: 1\nb: 2\na: 3\n", 3, "`a` stands here a second time; keep one");
        fails("a: 1\n---\nb: 2\n", 3, "a second document starts here; a configuration is one document");
        fails("a: [1\nb: 2\n", 2, "this is not YAML: illegal placement of ':' indicator");
        fails("a: 1\n  b: 2\n", 2, "this is not YAML: mapping values are not allowed in this context");
        fails("a:\n\tb: 1\n", 2, "this is not YAML: tabs disallowed within this context (block indentation)");
        fails("a: \"x\n", 2, "this is not YAML: invalid indentation in multiline quoted scalar");
        fails("a: *b\n", 1, "this is not YAML: alias references unknown anchor");
        fails("? [1]\n: 2\n", 1, "this is not YAML: expected string scalar");
        fails(&"[".repeat(100), 1, "this is not YAML: unclosed bracket '['");
        fails(
            &format!("{}1{}", "[".repeat(40), "]".repeat(40)),
            1,
            "this is nested more than 32 deep, or too large, for a configuration",
        );
    }
}

//! Edits of the text: a scalar in the style that it has, a new key beside another.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::{
    expand::Entry,
    scalar,
    tree::{Kind, Node, NodeId, Tree},
};

/// Bytes of the text, and what takes their place.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Edit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) new: String,
}

/// `text` with `edits` made, which do not overlap and are sorted.
pub(super) fn apply(text: &str, edits: &[Edit]) -> String {
    let mut result = String::with_capacity(text.len() + edits.iter().map(|edit| edit.new.len()).sum::<usize>());
    let mut done = 0;
    for edit in edits {
        result.push_str(text.get(done..edit.start).unwrap_or_default());
        result.push_str(&edit.new);
        done = edit.end;
    }
    result.push_str(text.get(done..).unwrap_or_default());
    result
}

/// Writes `value` where the scalar or alias `id` stands. None where its style cannot hold it.
pub(super) fn replace(text: &str, tree: &Tree, id: NodeId, value: &Value) -> Option<Edit> {
    let node = tree.node(id);
    let written = text.get(node.span.clone())?;
    let Kind::Scalar { text: old, style, .. } = &node.kind else {
        return Some(edit(node.span.clone(), literal(value, ScalarStyle::Plain)));
    };
    match style {
        // A key without a value: right after the colon.
        ScalarStyle::Plain if written.is_empty() => {
            Some(edit(node.span.clone(), [" ", &literal(value, *style)].concat()))
        }
        ScalarStyle::Literal | ScalarStyle::Folded => {
            // Only the words: the block's header and indentation stay. The words come last.
            let (old, new) = (old.trim_end(), value.as_str()?);
            let start = node.span.start + written.rfind(old).filter(|_| !old.is_empty() && !new.contains('\n'))?;
            Some(edit(start..start + old.len(), new.to_owned()))
        }
        _ => Some(edit(node.span.clone(), literal(value, *style))),
    }
}

/// Writes `key: value` into a mapping, after the entry that is there; in block style on a line of its own.
/// None where there is no telling how it should be indented.
pub(super) fn insert(text: &str, tree: &Tree, after: Entry, key: &str, value: &Value) -> Option<Edit> {
    let Kind::Mapping { entries, flow } = &tree.node(after.mapping).kind else { return None };
    let (neighbour, neighbour_value) = entries.get(after.index)?;
    let (neighbour, last) = (tree.node(*neighbour), tree.node(*neighbour_value));
    let key = literal(&Value::from(key), style_of(neighbour));
    let style = match style_of(last) {
        ScalarStyle::Plain => style_of(neighbour), // an alias or a number in JSON: there texts have quotes
        style => style,
    };
    let pair = [&key, ": ", &literal(value, style)].concat();
    if *flow {
        let end = last.span.end;
        return Some(edit(end..end, format!(",{}{pair}", flow_gap(text, neighbour.span.start))));
    }
    let indent = " ".repeat(neighbour.indent?);
    let end = end_of_line(text, last.span.end)?;
    Some(edit(end..end, [line_break(text, end), &indent, &pair].concat()))
}

fn edit(bytes: Range<usize>, new: String) -> Edit {
    Edit { start: bytes.start, end: bytes.end, new }
}

/// A value as YAML, quoted as `style` says, and in any case where it must be.
fn literal(value: &Value, style: ScalarStyle) -> String {
    let Value::String(text) = value else { return value.to_string() };
    match style {
        ScalarStyle::SingleQuoted => ["'", &text.replace('\'', "''"), "'"].concat(),
        ScalarStyle::DoubleQuoted => value.to_string(),
        _ if scalar::is_plain_safe(text) => text.clone(),
        _ => value.to_string(), // JSON's quoting is YAML's
    }
}

/// Block scalars and everything that is no scalar count as plain.
fn style_of(node: &Node) -> ScalarStyle {
    match node.kind {
        Kind::Scalar { style: style @ (ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted), .. } => style,
        _ => ScalarStyle::Plain,
    }
}

/// Between two entries of a flow mapping: as before the neighbour if that begins its line, else a space.
fn flow_gap(text: &str, neighbour: usize) -> &str {
    let before = text.get(..neighbour).unwrap_or_default();
    match before.rfind('\n') {
        Some(newline) if before.get(newline..).is_some_and(|gap| gap.trim().is_empty()) => {
            let start =
                if before.get(..newline).is_some_and(|line| line.ends_with('\r')) { newline - 1 } else { newline };
            before.get(start..).unwrap_or(" ")
        }
        _ => " ",
    }
}

/// The end of the line on which a value ends. A block scalar's span goes on to the next token.
fn end_of_line(text: &str, end: usize) -> Option<usize> {
    let end = text.get(..end)?.trim_end().len();
    let line = text.get(end..)?.split_inclusive('\n').next().unwrap_or_default();
    Some(end + line.trim_end_matches(['\r', '\n']).len())
}

fn line_break(text: &str, end: usize) -> &'static str {
    let windows = match text.get(end..) {
        Some("") | None => text.contains("\r\n"),
        Some(rest) => rest.starts_with("\r\n"),
    };
    if windows { "\r\n" } else { "\n" }
}

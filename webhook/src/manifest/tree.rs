//! One YAML document as it is written: every node with the bytes that it stands at.

use std::{collections::HashMap, ops::Range};

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::ReadError;

/// The nodes of one document. Aliases and merge keys are kept as written; [`super::expand`] follows them.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Never set for an empty tree.
    pub(super) root: NodeId,
}

/// The place of a node in its tree.
pub(super) type NodeId = usize;

/// A node, and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// The bytes of the value in the whole text: quotes included, tags and anchors not.
    pub(super) span: Range<usize>,
    /// Columns before it, where it is a key of a block mapping.
    pub(super) indent: Option<usize>,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar { text: String, style: ScalarStyle, tag: Option<String> },
    Sequence(Vec<NodeId>),
    Mapping { entries: Vec<(NodeId, NodeId)>, flow: bool },
    Alias(NodeId),
}

impl Tree {
    /// The node that an id of this tree stands for.
    #[expect(
        clippy::indexing_slicing,
        reason = "ids are made by the builder of this tree, and nodes are never removed"
    )]
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

/// Reads every document of `text`, a YAML stream whose first byte stands at `base`.
pub(super) fn parse(text: &str, base: usize) -> Result<Vec<Tree>, ReadError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder { text, base, ..Builder::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| ReadError::syntax(&error, text))?;
        builder.take(event, &span);
    }
    Ok(builder.documents)
}

/// Turns events into trees.
#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    base: usize,
    documents: Vec<Tree>,
    tree: Tree,
    /// The collections that are open, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
}

struct Open {
    collection: NodeId,
    key: Option<NodeId>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| core_tag(&tag));
                let id = self.add(span, Kind::Scalar { text: text.into_owned(), style, tag });
                self.settle_empty(id);
                self.anchor(anchor, id);
                self.attach(id);
            }
            Event::SequenceStart(_, anchor, _) => self.start(span, anchor, Kind::Sequence(Vec::new())),
            Event::MappingStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                self.start(span, anchor, Kind::Mapping { entries: Vec::new(), flow });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => {
                // The parser refuses an alias that no anchor stands for.
                let target = self.anchors.get(&anchor).copied().unwrap_or_default();
                let id = self.add(span, Kind::Alias(target));
                self.attach(id);
            }
            Event::DocumentEnd => {
                self.documents.push(std::mem::take(&mut self.tree));
                self.anchors.clear();
            }
            _ => (), // the stream's own marks
        }
    }

    fn add(&mut self, span: &Span, kind: Kind) -> NodeId {
        let span_in_part = span.byte_range().unwrap_or_default();
        let bytes = self.base + span_in_part.start..self.base + span_in_part.end;
        self.tree.nodes.push(Node { span: bytes, indent: span.indent, kind });
        self.tree.nodes.len() - 1
    }

    /// A value that nobody wrote stands after its key's colon; the parser puts it at the next token.
    fn settle_empty(&mut self, id: NodeId) {
        let key = self.open.last().and_then(|open| open.key).map(|key| self.tree.node(key).span.end - self.base);
        let colon = key.and_then(|key| Some(key + self.text.get(key..)?.find(':')?));
        if let (Some(colon), Some(node)) = (colon, self.tree.nodes.get_mut(id))
            && node.span.is_empty()
        {
            node.span = self.base + colon + 1..self.base + colon + 1;
        }
    }

    fn anchor(&mut self, anchor: usize, id: NodeId) {
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
    }

    fn start(&mut self, span: &Span, anchor: usize, kind: Kind) {
        let collection = self.add(span, kind);
        self.anchor(anchor, collection);
        self.attach(collection);
        self.open.push(Open { collection, key: None });
    }

    fn end(&mut self, span: &Span) {
        let ended = self.open.pop().and_then(|open| self.tree.nodes.get_mut(open.collection));
        if let (Some(node), Some(bytes)) = (ended, span.byte_range()) {
            node.span.end = self.base + bytes.end;
        }
    }

    /// Puts a node into the collection that is open, as an item, a key or a value.
    fn attach(&mut self, id: NodeId) {
        let Some(open) = self.open.last_mut() else {
            self.tree.root = id;
            return;
        };
        match self.tree.nodes.get_mut(open.collection).map(|node| &mut node.kind) {
            Some(Kind::Sequence(items)) => items.push(id),
            Some(Kind::Mapping { entries, .. }) => match open.key.take() {
                Some(key) => entries.push((key, id)),
                None => open.key = Some(id),
            },
            _ => (), // only collections are opened
        }
    }
}

/// `str`, `int`, … for the tags that YAML defines, `str` for `!`, and the tag as it is for all others.
fn core_tag(tag: &Tag) -> String {
    match tag.core_suffix() {
        Some(suffix) => suffix.to_owned(),
        None if tag.original() == "!" => "str".to_owned(),
        None => tag.original(),
    }
}

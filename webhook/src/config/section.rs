//! One mapping of the file, read key by key: mistakes are collected, unknown keys are found at the end.

use std::path::PathBuf;

use super::{
    load::Finding,
    value,
    yaml::{Key, Node, Value},
};

/// What reading a file brings to light besides the values.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The configuration cannot be used.
    pub(super) errors: Vec<Finding>,
    /// It can, but probably does not do what was meant.
    pub(super) warnings: Vec<Finding>,
    /// Files that the configuration names: reading the text alone does not open them.
    pub(super) files: Vec<NamedFile>,
}

/// A file that the configuration names.
#[derive(Debug)]
pub(super) struct NamedFile {
    /// Where it is named.
    pub(super) place: Place,
    /// The file.
    pub(super) path: PathBuf,
    /// What must be in it.
    pub(super) content: Content,
}

/// What must be in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// PEM certificates.
    Certificates,
    /// PEM certificates, one of them an authority that counts now.
    Authorities,
    /// A private key in PEM.
    Key,
    /// A docker `config.json`.
    DockerConfig,
    /// A kubelet's `CredentialProviderConfig`.
    ProviderConfig,
}

/// A line and the key that stands there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    line: u64,
    key: String,
}

impl Place {
    /// A finding at this place.
    pub(super) fn finding(&self, text: impl Into<String>) -> Finding {
        Finding { line: self.line, key: self.key.clone(), text: text.into() }
    }

    /// From 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }
}

/// One mapping.
#[derive(Debug)]
pub(super) struct Section<'n, 'f> {
    place: Place,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
    findings: &'f mut Findings,
}

impl<'n, 'f> Section<'n, 'f> {
    /// The mapping at `place`; anything but a mapping or nothing is an error, and read as nothing.
    pub(super) fn new(place: Place, node: Option<&'n Node>, findings: &'f mut Findings) -> Self {
        let entries: &[(Key, Node)] = match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries,
            None | Some(Value::Null) => &[],
            Some(other) => {
                findings
                    .errors
                    .push(place.finding(format!("{} is not a mapping of keys and values", other.describe())));
                &[]
            }
        };
        Self { place, entries, known: Vec::new(), findings }
    }

    /// The whole file.
    pub(super) fn root(node: Option<&'n Node>, findings: &'f mut Findings) -> Self {
        Self::new(Place { line: 1, key: String::new() }, node, findings)
    }

    /// Where this mapping starts.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Where `key` stands, or would stand.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let line = self.entry(key).map_or(self.place.line, |(key, _)| key.line);
        Place { line, key: self.path_of(key) }
    }

    /// Whether the mapping is there at all.
    pub(super) fn given(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether `key` is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Adds an error about `key`.
    pub(super) fn error(&mut self, key: &str, text: impl Into<String>) {
        let finding = self.place_of(key).finding(text);
        self.findings.errors.push(finding);
    }

    /// Adds a warning about `key`.
    pub(super) fn warning(&mut self, key: &str, text: impl Into<String>) {
        let finding = self.place_of(key).finding(text);
        self.findings.warnings.push(finding);
    }

    /// Everything found so far, to add what concerns more than one mapping.
    pub(super) fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    /// The value of `key`, unless it is missing or wrong.
    pub(super) fn value<T>(&mut self, key: &'static str, parse: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let (written, node) = self.take(key)?;
        match parse(&node.value) {
            Ok(value) => Some(value),
            Err(text) => {
                let place = Place { line: written.line.max(node.line), key: self.path_of(key) };
                self.findings.errors.push(place.finding(text));
                None
            }
        }
    }

    /// The value of a key that must not be missing; `example` says how it is written.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.entry(key).is_none() {
            self.error(key, format!("it is missing; write `{key}: {example}`"));
        }
        self.value(key, parse)
    }

    /// The list at `key`, without its wrong items; none where the key is missing.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut parse: impl FnMut(&Value) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = self.items(key)?;
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(&item.value) {
                Ok(value) => values.push(value),
                Err(text) => {
                    let place = self.place_of_item(key, index, item);
                    self.findings.errors.push(place.finding(text));
                }
            }
        }
        Some(values)
    }

    /// The mapping at `key`.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'n, '_> {
        let place = self.place_of(key);
        let node = self.take(key).map(|(_, node)| node);
        Section::new(place, node, self.findings)
    }

    /// The mappings in the list at `key`, each read by `read`.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(Section<'n, '_>) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (index, item) in self.items(key).unwrap_or_default().iter().enumerate() {
            let place = self.place_of_item(key, index, item);
            values.extend(read(Section::new(place, Some(item), self.findings)));
        }
        values
    }

    /// The entries of the mapping at `key`, whose names are not known beforehand, without the wrong ones.
    pub(super) fn pairs<K, V>(
        &mut self,
        key: &'static str,
        name: impl Fn(&str) -> Result<K, String>,
        value: impl Fn(&Value) -> Result<V, String>,
    ) -> Vec<(K, V)> {
        let inner = self.section(key);
        let mut pairs = Vec::with_capacity(inner.entries.len());
        for (written, node) in inner.entries {
            match name(&written.name).and_then(|name| Ok((name, value(&node.value)?))) {
                Ok(pair) => pairs.push(pair),
                Err(text) => {
                    let place = Place { line: written.line, key: inner.path_of(&written.name) };
                    inner.findings.errors.push(place.finding(text));
                }
            }
        }
        pairs
    }

    /// The file that `key` names.
    pub(super) fn file(&mut self, key: &'static str, content: Content) -> Option<PathBuf> {
        let path = self.value(key, value::path)?;
        let place = self.place_of(key);
        self.findings.files.push(NamedFile { place, path: path.clone(), content });
        Some(path)
    }

    /// The file that `key` names, where the key must not be missing.
    pub(super) fn required_file(&mut self, key: &'static str, content: Content) -> Option<PathBuf> {
        if self.entry(key).is_none() {
            self.error(key, format!("it is missing; write `{key}: FILE`"));
        }
        self.file(key, content)
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.entries {
            if !self.known.contains(&key.name.as_str()) {
                let place = Place { line: key.line, key: self.path_of(&key.name) };
                let known = value::alternatives(&self.known);
                self.findings.errors.push(place.finding(format!("there is no such key; here can stand {known}")));
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&'n (Key, Node)> {
        self.entries.iter().find(|(written, _)| written.name == key)
    }

    fn take(&mut self, key: &'static str) -> Option<&'n (Key, Node)> {
        self.known.push(key);
        self.entry(key)
    }

    fn items(&mut self, key: &'static str) -> Option<&'n [Node]> {
        let (_, node) = self.take(key)?;
        let Value::List(items) = &node.value else {
            self.error(key, format!("{} is not a list; write `[]` for none", node.value.describe()));
            return None;
        };
        Some(items)
    }

    fn path_of(&self, key: &str) -> String {
        if self.place.key.is_empty() { key.to_owned() } else { [&self.place.key, ".", key].concat() }
    }

    fn place_of_item(&self, key: &str, index: usize, item: &Node) -> Place {
        Place { line: item.line, key: format!("{}[{index}]", self.path_of(key)) }
    }
}

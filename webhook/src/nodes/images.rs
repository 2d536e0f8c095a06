//! The entries of all lists, each kept once, and which nodes have them.
//!
//! Nodes of a cluster list the same images under the same names, so an *entry* (the names of one image) is the unit:
//! a node is a set of entries, an entry a set of nodes, at four bytes a side. What must be answered for any number of
//! nodes at the same cost is counted per name when an entry appears or goes.

use std::sync::Arc;

use super::{names::Interner, order::Ordered};
use crate::image::Reference;

/// What the lists of all nodes say about the origin of an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Evidence {
    /// No node lists it: `repository@digest` if the reference has a digest, else `repository:tag`.
    Unlisted,
    /// Listed, and nothing says that it did not come from a registry.
    Listed,
    /// *Node-local by evidence*: some entry of a node (containerd or docker runtime) has `repository:tag` and no digest
    /// of that repository, and no node lists that repository with a digest.
    Local,
}

/// The entries of all lists.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// Each with its nodes.
    entries: Interner<Entry, Ordered>,
    names: Interner<str, Name>,
    /// Each with the number of its digests in entries.
    repositories: Interner<str, u32>,
    /// Hosts that something came from by a pull, each held by every such digest in an entry.
    pulled: Interner<str, ()>,
}

/// One image on a node.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) struct Entry {
    /// Its names, by number, in ascending order.
    pub(super) names: Box<[u32]>,
    /// Bytes. Nodes that hold the same build for the same platform agree on it.
    pub(super) size: i64,
    /// The runtime shows by the names whether an image was pulled.
    tells: bool,
}

/// What is known of a name.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) repository: u32,
    pub(super) digest: bool,
    /// The entries that have it.
    entries: Vec<u32>,
    /// How many of them came by an import.
    imports: u32,
}

/// The nodes of one entry that has the name that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Holders<'a> {
    /// By number, in the order of their names.
    pub(super) nodes: &'a [u32],
    /// The number of the entry.
    pub(super) entry: u32,
    /// The entry has the tag and no digest of its own repository.
    pub(super) imported: bool,
    /// The entry has a digest of another repository, other than one that an import made up.
    pub(super) foreign: bool,
}

impl Images {
    /// What the lists say about where `image` came from. Costs the same for any number of nodes.
    pub(super) fn evidence(&self, image: &Reference) -> Evidence {
        let Some(name) = self.find(image) else { return Evidence::Unlisted };
        let name = self.names.value(name);
        let pulled = *self.repositories.value(name.repository) > 0;
        if name.imports > 0 && !pulled { Evidence::Local } else { Evidence::Listed }
    }

    /// Whether some entry has a digest of the repository of `image`. Costs the same for any number of nodes.
    pub(super) fn has_pulled(&self, image: &Reference) -> bool {
        let repository = self.repositories.find(&*image.repository());
        repository.is_some_and(|repository| *self.repositories.value(repository) > 0)
    }

    /// Whether some entry has a digest of a repository at `host`. Costs the same for any number of nodes.
    pub(super) fn has_pulled_from(&self, host: &str) -> bool {
        self.pulled.find(host).is_some()
    }

    /// The entries that have `image`.
    pub(super) fn holders(&self, image: &Reference) -> impl Iterator<Item = Holders<'_>> {
        let name = self.find(image).map(|name| self.names.value(name));
        name.into_iter().flat_map(|name| name.entries.iter().map(|entry| self.holders_of(*entry, name)))
    }

    fn holders_of(&self, number: u32, name: &Name) -> Holders<'_> {
        let (nodes, entry) = (self.entries.value(number).numbers(), self.entries.key(number));
        let foreign = entry.names.iter().map(|other| self.names.value(*other)).any(|other| {
            let elsewhere = other.digest && other.repository != name.repository;
            elsewhere && !self.is_made_up(other)
        });
        Holders { nodes, entry: number, imported: self.is_import(entry, name), foreign }
    }

    /// The number of the name under which `image` is listed.
    pub(super) fn find(&self, image: &Reference) -> Option<u32> {
        self.names.find(&*image.target())
    }

    /// The entry of this number.
    pub(super) fn entry(&self, number: u32) -> &Entry {
        self.entries.key(number)
    }

    /// The name of this number, and what is known of it.
    pub(super) fn name(&self, number: u32) -> (&str, &Name) {
        (self.names.key(number), self.names.value(number))
    }

    /// Whether `name` is one that an import made up.
    pub(super) fn is_made_up(&self, name: &Name) -> bool {
        made_up_by_import(self.repositories.key(name.repository))
    }

    /// The number of the entry of this size with these names, counting one more node that has it; none where no name can
    /// be read.
    ///
    /// `tells`: the runtime shows by the names whether an image was pulled.
    pub(super) fn hold<'a>(&mut self, names: impl Iterator<Item = &'a str>, size: i64, tells: bool) -> Option<u32> {
        let mut names: Vec<Full> = names.filter_map(|name| Some(Full::of(&name.parse().ok()?))).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return None;
        }
        let mut names: Box<[u32]> = names.iter().map(|name| self.hold_name(name)).collect();
        names.sort_unstable();
        let entry = Arc::new(Entry { names, size, tells });
        let known = self.entries.find(&entry).is_some();
        let number = self.entries.hold(Arc::clone(&entry), Ordered::default);
        if known {
            self.release_names(&entry);
        } else {
            self.link(number, &entry);
        }
        Some(number)
    }

    /// Counts one node less that has `entry`.
    pub(super) fn release(&mut self, entry: u32) {
        if let Some((gone, _)) = self.entries.release(entry) {
            self.unlink(entry, &gone);
            self.release_names(&gone);
        }
    }

    /// The nodes that have `entry`, for the index to keep.
    pub(super) fn nodes_mut(&mut self, entry: u32) -> &mut Ordered {
        self.entries.value_mut(entry)
    }

    fn hold_name(&mut self, name: &Full) -> u32 {
        let repositories = &mut self.repositories;
        self.names.hold(name.text.as_str(), || {
            let repository = repositories.hold(name.repository(), || 0);
            Name { repository, digest: name.digest, entries: Vec::new(), imports: 0 }
        })
    }

    fn release_names(&mut self, entry: &Entry) {
        for name in &entry.names {
            if let Some((_, gone)) = self.names.release(*name) {
                self.repositories.release(gone.repository);
            }
        }
    }

    fn link(&mut self, number: u32, entry: &Entry) {
        for name in &entry.names {
            let import = self.is_import(entry, self.names.value(*name));
            let known = self.names.value_mut(*name);
            known.entries.push(number);
            known.imports += u32::from(import);
            *self.repositories.value_mut(known.repository) += u32::from(known.digest);
            if let Some(host) = pulled_from(known, &self.repositories) {
                self.pulled.hold(host, || ());
            }
        }
    }

    fn unlink(&mut self, number: u32, entry: &Entry) {
        for name in &entry.names {
            let import = self.is_import(entry, self.names.value(*name));
            let known = self.names.value_mut(*name);
            known.entries.retain(|other| *other != number);
            known.imports -= u32::from(import);
            *self.repositories.value_mut(known.repository) -= u32::from(known.digest);
            let host = pulled_from(known, &self.repositories).and_then(|host| self.pulled.find(host));
            if let Some(host) = host {
                self.pulled.release(host);
            }
        }
    }

    /// Whether `entry` has the tag `name` and no digest of the same repository, on a runtime where that says something.
    fn is_import(&self, entry: &Entry, name: &Name) -> bool {
        let pulled = |other: &u32| {
            let other = self.names.value(*other);
            other.digest && other.repository == name.repository
        };
        entry.tells && !name.digest && !entry.names.iter().any(pulled)
    }

    /// Bytes of all names.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.names.keys().map(str::len).sum()
    }

    /// How many entries, names, repositories and hosts are kept.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 4] {
        [self.entries.len(), self.names.len(), self.repositories.len(), self.pulled.len()]
    }
}

/// A name with the defaults filled in: `docker.io/library/nginx:1`, or `docker.io/library/nginx@sha256:…` where there
/// is a digest, because then it alone decides: with `app:a` imported, the kubelet finds neither `app:a@D` nor `app@D`.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Full {
    text: String,
    /// Where the repository ends in `text`.
    end: usize,
    digest: bool,
}

impl Full {
    fn of(image: &Reference) -> Self {
        let mut text = image.repository();
        let end = text.len();
        let (mark, rest) = match image.digest() {
            Some(digest) => ('@', digest.as_str()),
            None => (':', image.effective_tag().unwrap_or_default()),
        };
        text.push(mark);
        text.push_str(rest);
        Self { text, end, digest: mark == '@' }
    }

    fn repository(&self) -> &str {
        self.text.get(..self.end).unwrap_or_default()
    }
}

/// The host that `name` was pulled from; none where it shows no pull.
fn pulled_from<'a>(name: &Name, repositories: &'a Interner<str, u32>) -> Option<&'a str> {
    let repository: &str = repositories.key(name.repository);
    let host = repository.split('/').next()?;
    (name.digest && !made_up_by_import(repository)).then_some(host)
}

/// Whether `repository` is one that `ctr images import --digests` makes up: `docker.io/library/import-2026-11-21`.
///
/// Its digest is that of an index made on the spot, never the image's.
fn made_up_by_import(repository: &str) -> bool {
    let date = repository.strip_prefix("docker.io/library/import-").unwrap_or_default();
    let shape = |letter: u8| if letter.is_ascii_digit() { b'0' } else { letter };
    date.bytes().map(shape).eq("0000-00-00".bytes())
}

//! Whether two nodes that list one tag have the same build of it, as far as their lists tell.

use super::images::{Images, Name};

/// How two builds of one tag compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Likeness {
    /// They share a digest, or what was loaded has one image ID.
    Same,
    /// Nothing tells them apart, which proves nothing: builds can agree in size.
    Alike,
    /// They differ in digest, image ID or size.
    Different,
}

impl Images {
    /// How the builds compare that the entries `one` and `other` have under the name of number `name`.
    ///
    /// `comparable`: the nodes have one architecture; else the same image has two sizes.
    pub(super) fn compare(&self, one: u32, other: u32, name: u32, comparable: bool) -> Likeness {
        let digests = [Origin::Repository, Origin::Import].into_iter().find_map(|origin| {
            let of = |entry| self.digests(entry, name).filter(move |digest| digest.0 == origin).map(|digest| digest.1);
            let told = of(one).next().is_some() && of(other).next().is_some();
            told.then(|| of(one).any(|digest| of(other).any(|also| also == digest)))
        });
        match digests {
            Some(true) => Likeness::Same,
            Some(false) => Likeness::Different,
            None if comparable && self.entry(one).size != self.entry(other).size => Likeness::Different,
            None => Likeness::Alike,
        }
    }

    /// The digests of an entry that say which build the name is.
    fn digests(&self, entry: u32, name: u32) -> impl Iterator<Item = (Origin, &str)> {
        let (_, wanted) = self.name(name);
        let names = self.entry(entry).names.iter().map(|number| self.name(*number));
        names.filter(|(_, name)| name.digest).filter_map(|(text, name)| {
            let digest = text.split_once('@')?.1;
            Some((self.origin(name, wanted)?, digest))
        })
    }

    fn origin(&self, digest: &Name, wanted: &Name) -> Option<Origin> {
        if digest.repository == wanted.repository {
            return Some(Origin::Repository);
        }
        self.is_made_up(digest).then_some(Origin::Import)
    }
}

/// Where a digest comes from that tells builds apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// The image's own repository: its manifest, as the registry gave it.
    Repository,
    /// `ctr images import --digests`, as `kind load` does it: the index of the archive that was imported. It is never the
    /// image's, but another one means another archive.
    Import,
}

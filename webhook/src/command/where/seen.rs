//! The nodes as they are seen: the placement's index, and of each node what only people want to know.

use std::collections::BTreeMap;

use super::{
    doubt::Doubt,
    rows::{Report, Row},
};
use crate::{
    admission::place::Standing,
    image::Reference,
    nodes::{Index, Likeness, Node, Now, Sighting},
};

/// What the nodes say of one image.
pub(super) struct Seen {
    image: Reference,
    list_limit: usize,
    index: Index,
    nodes: BTreeMap<String, Said>,
    /// Nodes of the full list that is being read.
    listing: Option<BTreeMap<String, Said>>,
}

/// What one node says.
pub(super) struct Said {
    /// The names of its entry with the image, as listed.
    pub(super) names: Vec<String>,
    pub(super) doubt: Option<Doubt>,
}

impl Seen {
    pub(super) fn new(image: Reference, list_limit: usize) -> Self {
        let index = Index::new(list_limit, Now::read());
        Self { image, list_limit, index, nodes: BTreeMap::new(), listing: None }
    }

    /// Takes in all nodes there are.
    pub(super) fn list(&mut self, nodes: &[Node]) {
        self.begin();
        for node in nodes {
            self.apply(node);
        }
        self.end();
    }

    /// A full list begins.
    pub(super) fn begin(&mut self) {
        self.index.hear(Now::read());
        self.index.begin_list();
        self.listing = Some(BTreeMap::new());
    }

    /// The full list is complete.
    pub(super) fn end(&mut self) {
        self.index.end_list();
        if let Some(listing) = self.listing.take() {
            self.nodes = listing;
        }
    }

    /// Takes in a node, new or changed.
    pub(super) fn apply(&mut self, node: &Node) {
        self.index.hear(Now::read());
        self.index.apply(node);
        let runtime = self.index.get(node.name()).map(|node| node.runtime()).unwrap_or_default();
        let said = Said { names: names(node, &self.image), doubt: Doubt::of(node, runtime, self.list_limit) };
        self.listing.as_mut().unwrap_or(&mut self.nodes).insert(node.name().to_owned(), said);
    }

    /// Forgets a node.
    pub(super) fn remove(&mut self, node: &Node) {
        self.index.remove(node.name());
        self.nodes.remove(node.name());
    }

    /// All that is known at `now`: first the nodes that have the image, each kind in the order of the names.
    pub(super) fn report(&self, now: Now) -> Report {
        let sightings = self.index.sightings(&self.image);
        let by_name: BTreeMap<&str, &Sighting<'_>> =
            sightings.iter().map(|sighting| (sighting.node.name(), sighting)).collect();
        let rows = Standing::of(&self.index, &self.image, now.instant).into_iter().map(|(node, standing)| {
            Row::new(node, standing, by_name.get(node.name()).copied(), self.nodes.get(node.name()), &self.image, now)
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|row| row.status);
        Report { image: self.image.target().into_owned(), builds: builds(&sightings, now), rows, now: now.wall }
    }
}

/// Nodes that hold the same build, as far as can be told, where there are different ones.
fn builds(sightings: &[Sighting<'_>], now: Now) -> Vec<Vec<String>> {
    let mut builds: Vec<(&Sighting<'_>, Vec<String>)> = Vec::new();
    for sighting in sightings.iter().filter(|sighting| sighting.listing.is_some() || sighting.is_told(now.instant)) {
        let alike = |(first, _): &&mut (&Sighting<'_>, _)| first.compare(sighting, now.instant) != Likeness::Different;
        match builds.iter_mut().find(alike) {
            Some((_, names)) => names.push(sighting.node.name().to_owned()),
            None => builds.push((sighting, vec![sighting.node.name().to_owned()])),
        }
    }
    if builds.len() < 2 { Vec::new() } else { builds.into_iter().map(|(_, names)| names).collect() }
}

/// The names of the first entry that has `image`, without what is none.
fn names(node: &Node, image: &Reference) -> Vec<String> {
    let target = image.target();
    let is_it = |name: &String| name.parse::<Reference>().is_ok_and(|name| name.target() == target);
    let entry = node.status.images.iter().find(|entry| entry.names.iter().any(is_it));
    let names = entry.iter().flat_map(|entry| &entry.names);
    names.filter(|name| name.parse::<Reference>().is_ok()).cloned().collect()
}

//! Nodes that have an image by their labels, because machine images are made with it: listed or not, existing or not.

use super::Wanted;
use crate::{
    admission::fits::Needs,
    config::{self, Selector},
    nodes::{Index, NodeView},
};

/// Who provides the images that a Pod needs; a line for each image, in their order.
#[derive(Debug, Default)]
pub(super) struct Provided<'a> {
    by_image: Vec<Vec<&'a Selector>>,
}

impl<'a> Provided<'a> {
    /// Adds the providers of one more image.
    pub(super) fn count(&mut self, wanted: &Wanted, config: &'a config::Place) {
        self.by_image.push(config.providers(&wanted.image).collect());
    }

    /// Whether anybody provides the image at `place`.
    pub(super) fn any(&self, place: usize) -> bool {
        self.by_image.get(place).is_some_and(|selectors| !selectors.is_empty())
    }

    /// Whether `node` provides the image at `place`.
    pub(super) fn has(&self, place: usize, node: NodeView<'_>) -> bool {
        let selectors = self.by_image.get(place).into_iter().flatten();
        selectors.into_iter().any(|selector| selector.matches(|key| node.label(key)))
    }

    /// The labels, one set of them or another, by which a node provides all images and the Pod can use it. None where one
    /// image is not provided at all.
    ///
    /// What the Pod asks for itself may leave nothing of a set: an affinity with both would match no node ever.
    pub(super) fn of_all(&self, needs: &Needs<'_>, index: &Index) -> Vec<Selector> {
        let mut sets = vec![Selector::default()];
        for selectors in &self.by_image {
            let with_each = |set: &Selector| selectors.iter().map(|selector| set.and(selector)).collect::<Vec<_>>();
            sets = sets.iter().flat_map(with_each).collect();
            sets.retain(|set| needs.can_meet(set, index));
            sets.dedup();
            sets.truncate(SETS);
        }
        if self.by_image.is_empty() { Vec::new() } else { sets }
    }
}

/// Sets of labels that one Pod's affinity can name.
const SETS: usize = 4;

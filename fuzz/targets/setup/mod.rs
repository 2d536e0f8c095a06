//! Berth as the targets ask it: with a registry that has every second image.

use std::{sync::Arc, time::Instant};

use berth::{
    admission::App,
    config::Config,
    image::Digest,
    nodes::{Index, Node, Nodes, Now},
    registry::{Error, Keychain, Question, Resolve},
};

/// A registry.
pub struct EverySecond;

impl Resolve for EverySecond {
    async fn resolve(&self, question: &Question<'_>, _: Instant) -> Result<Digest, Error> {
        let image = question.image;
        match image.path().len() % 2 {
            0 => Ok(image.digest().cloned().unwrap_or_else(|| Digest::of(image.target().as_bytes()))),
            _ => Err(Error::NotFound { host: image.host().to_owned(), image: image.to_string() }),
        }
    }
}

/// In a cluster of these nodes.
pub fn app(nodes: impl IntoIterator<Item = Node>) -> App<EverySecond> {
    App {
        config: Arc::new(Config::default()),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: EverySecond,
        nodes: Some(Arc::new(Nodes::fixed(Index::from_nodes(nodes, 50, Now::read())))),
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    }
}

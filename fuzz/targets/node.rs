//! Nodes as the API server writes them: one JSON document after the other.
#![no_main]

use berth::{
    image::Reference,
    nodes::{Index, Likeness, Node, Now},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let documents = serde_json::Deserializer::from_slice(data).into_iter::<Node>();
    let nodes: Vec<Node> = documents.map_while(Result::ok).collect();
    let now = Now::read();
    let mut index = Index::new(50, now);
    for node in nodes.iter().chain(&nodes) {
        index.apply(node);
    }
    for name in ["nginx", "docker.io/library/app:v1", "localhost/app"] {
        let image: Reference = name.parse().unwrap();
        let _ = index.evidence(&image, now.instant);
        let sightings = index.sightings(&image);
        assert!(
            sightings.iter().all(|one| one.compare(one, now.instant) != Likeness::Different || one.since().is_some())
        );
        assert!(index.listed(&image).count() <= index.len());
    }
    for node in &nodes {
        index.remove(node.name());
    }
    assert!(index.is_empty());
});
